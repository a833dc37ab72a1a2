"""Names in guardrails: which there are, and what they stand for."""

import cedarpy
import pytest
from cedarpy import pst
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core.people import folded
from gatelodge.core.policy.naming import NamedEntities, bind, mentions

HERE = NamedEntities(
    ids={
        ("Server", "crm"): "srv_1",
        ("Group", "eng ops"): "grp_1",
        ("Member", "ada@example.com"): "mem_2",
        ("Agent", "nightly"): "agt_1",
        ("Workspace", "main"): "wsp_1",
    },
    names={
        ("Server", "srv_1"): "crm",
        ("Group", "grp_1"): "Eng Ops",
        ("Member", "mem_1"): "ada@example.com",
        ("Member", "mem_2"): "ada@example.com",
        ("Agent", "agt_1"): "nightly",
        ("Workspace", "wsp_1"): "main",
    },
    tools=frozenset({("srv_1", "find"), ("srv_1", "查询")}),
    observed=frozenset({"srv_1"}),
    tags=frozenset({"finance"}),
)


def rule(condition):
    return f'@reason("no")\nforbid (principal, action, resource)\nwhen {{ {condition} }};'


def ids(text):
    """What Cedar's own parser finds in a text, actions left out."""
    (policy,) = cedarpy.policies_to_pst(text).static_policies.values()
    found = [(uid.type.basename, uid.id) for uid in pst.entity_uids(policy)]
    return sorted(pair for pair in found if pair[0] != "Action")


@pytest.mark.parametrize(
    ("written", "bound"),
    [
        ('Gatelodge::Server::"crm"', 'Gatelodge::Server::"srv_1"'),
        ('Gatelodge::Tool::"crm/find"', 'Gatelodge::Tool::"srv_1/find"'),
        ('Gatelodge::Prompt::"CRM"', 'Gatelodge::Prompt::"srv_1"'),
        ('Gatelodge::Group::"eng OPS"', 'Gatelodge::Group::"grp_1"'),
        ('Gatelodge::Member::"Ada@Example.com"', 'Gatelodge::Member::"mem_2"'),
        ('Gatelodge::Agent::"nightly"', 'Gatelodge::Agent::"agt_1"'),
        ('Gatelodge::Workspace::"main"', 'Gatelodge::Workspace::"wsp_1"'),
        ('Gatelodge::Tag::"finance"', 'Gatelodge::Tag::"finance"'),
        ('Gatelodge::Tool::"crm/查询"', 'Gatelodge::Tool::"srv_1/%E6%9F%A5%E8%AF%A2"'),
        ('Gatelodge :: // so\n Server\n:: "cr\\u{6d}"', 'Gatelodge :: // so\n Server\n:: "srv_1"'),
    ],
)
def test_a_name_of_any_kind_is_bound_to_the_id_of_its_bearer(written, bound):
    made = bind(written, HERE)
    assert (made.text, made.unmatched) == (bound, ())


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ('Gatelodge::Server::"srv_1"', 'Gatelodge::Server::"crm"'),
        ('Gatelodge::Tool::"srv_1/find"', 'Gatelodge::Tool::"crm/find"'),
        ('Gatelodge::Tool::"srv_1/%E6%9F%A5%E8%AF%A2"', 'Gatelodge::Tool::"crm/查询"'),
        ('Gatelodge::Member::"mem_1"', 'Gatelodge::Member::"ada@example.com"'),
    ],
)
def test_an_id_is_kept_as_the_name_of_its_bearer(text, written):
    assert bind(text, HERE).written == written


def test_the_id_of_somebody_who_left_means_who_bears_the_name_now():
    assert bind('Gatelodge::Member::"mem_1"', HERE).text == 'Gatelodge::Member::"mem_2"'


@pytest.mark.parametrize(
    ("kind", "name", "near"),
    [
        ("Server", "crn", ("crm",)),
        ("Tool", "crm/finds", ("crm/find",)),
        ("Tool", "crm", ()),
        ("Tool", "crm/", ()),
        ("Group", "eng op", ("Eng Ops",)),
        ("Member", "bob@example.com", ()),
        ("Member", "nightly", ()),
        ("Tag", "Finance", ("finance",)),
        ("Workspace", "other", ()),
        ("Server", "srv_2", ()),
    ],
)
def test_what_stands_for_nothing_is_found_and_what_comes_near_it(kind, name, near):
    text = f'Gatelodge::{kind}::"{name}"'
    made = bind(text, HERE)
    assert [str(each) for each in made.unmatched] == [f'{kind}::"{name}"']
    assert set(near) <= set(made.unmatched[0].near)


def test_a_path_without_end_names_nothing_and_costs_by_its_length():
    assert list(mentions("::".join(["Gatelodge", "Server"] * 200_000) + '::"x"')) == []


def test_a_name_in_a_comment_or_a_text_is_none():
    text = '@reason("Gatelodge::Server::\\"x\\"") // Gatelodge::Server::"y"\nforbid'
    assert list(mentions(text)) == []


def test_what_stood_for_something_earlier_keeps_its_id():
    made = bind('Gatelodge::Group::"gone"', HERE, 'Gatelodge::Group::"grp_9"')
    assert (made.text, len(made.unmatched)) == ('Gatelodge::Group::"grp_9"', 1)


def test_in_every_workspace_a_name_begins_with_its_workspace():
    everywhere = NamedEntities(
        ids={("Server", "main/crm"): "srv_1", ("Server", "lab/crm"): "srv_2"},
        names={("Server", "srv_1"): "main/crm", ("Server", "srv_2"): "lab/crm"},
        tools=frozenset({("srv_2", "a/b")}),
        observed=frozenset({"srv_2"}),
        tags=frozenset(),
        everywhere=True,
    )
    text = 'Gatelodge::Server::"main/crm" Gatelodge::Tool::"lab/crm/a/b" Gatelodge::Server::"crm"'
    made = bind(text, everywhere)
    assert made.text.split()[:2] == [
        'Gatelodge::Server::"srv_1"',
        'Gatelodge::Tool::"srv_2/a/b"',
    ]
    assert [str(each) for each in made.unmatched] == ['Server::"crm"']
    assert bind(made.text, everywhere).written == text


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["Server", "Tool", "Group", "Member", "Tag", "Action"]),
            st.text(max_size=12) | st.sampled_from(["crm", "crm/find", "nightly"]),
            st.sampled_from(["", " ", "// ::\n", '\n"not a name" == "x" || ']),
        ),
        max_size=4,
    )
)
def test_the_entities_found_are_those_that_cedar_finds_and_bind_changes_nothing_else(parts):
    tests = ["true"]
    for kind, name, gap in parts:
        before, between = (gap, "") if "==" in gap else ("", gap)
        entity = f"Gatelodge{between}::{kind}::{_cedar(name)}"
        tests.append(f"{before}principal == {entity}")
    text = rule(" || ".join(tests))
    try:
        truth = ids(text)
    except ValueError:
        return
    assert sorted({(each.kind, each.name) for each in mentions(text)}) == sorted(set(truth))
    made = bind(text, HERE)
    again = {(each.kind, each.name) for each in mentions(made.text)}
    assert sorted(set(ids(made.text))) == sorted(again)
    assert bind(made.written, HERE).text == made.text


def _cedar(name):
    plain = all(c.isascii() and c.isprintable() and c not in '"\\' for c in name)
    return f'"{name}"' if plain else '"' + "".join(f"\\u{{{ord(c):x}}}" for c in name) + '"'


@given(st.text())
def test_folding_a_name_twice_is_folding_it_once(name):
    assert folded(folded(name)) == folded(name)


def test_what_is_longer_than_any_name_is_not_worked_on():
    long = "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}A" * 160
    assert len(folded(long)) > 2000
    assert folded(long + "A") == long + "A"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("straße@x.test", "STRASSE@x.test"),
        ("ada@x.test", "\N{FULLWIDTH LATIN CAPITAL LETTER A}da@x.test"),
        ("josé@x.test", "jose\N{COMBINING ACUTE ACCENT}@x.test"),
        ("\N{LATIN SMALL LETTER LONG S}am@x.test", "sam@x.test"),
        ("i\N{COMBINING DOT ABOVE}@x.test", "İ@x.test"),
    ],
)
def test_two_spellings_of_a_name_are_one_name(one, other):
    assert folded(one) == folded(other)
