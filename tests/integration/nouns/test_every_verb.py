"""What every verb of every declared noun owes: all faces, its role, a dry run, its leaf."""

import json
import sys
from collections.abc import Iterator
from itertools import count

import click
import pytest
from click.testing import CliRunner
from tests.gate import ROOT
from tests.integration.admin_house import ROLES, STUB, House, W, house
from tests.integration.hosting.gates import empty_image

from gatelodge.cli.main import root
from gatelodge.core.roles import VERBS, may
from gatelodge.flows.nouns.noun import Noun, NounVerb
from gatelodge.web.api.routes import NOUNS

__all__ = ["house"]
ALL = [pytest.param(noun, id=noun.name) for noun in NOUNS]
BELOW = [each for each in ALL if each.values[0].below]
EVERY = [
    pytest.param(noun, verb, id=f"{noun.name} {verb.name}") for noun in NOUNS for verb in noun.verbs
]
numbers: Iterator[int] = count(1)
unused: dict[int, list[str]] = {}
"""Of each house the tools that no test has used yet."""


def takes_a_body(verb: NounVerb) -> bool:
    return bool(verb.inputs or verb.why) and not verb.removes


def new(house: House, noun: str) -> str:
    """A new row of a noun, by the name that people call it."""
    name = f"{noun}{next(numbers)}"
    if noun == "member":
        return house.ok("POST", f"{W}/members", {"email": f"{name}@x.test"})["email"]
    if noun == "token":
        return house.ok("POST", f"{W}/tokens", {"member": new(house, "member")})["id"]
    if noun == "server":
        transport = {"type": "http", "url": f"https://{name}.example.com/mcp"}
        body = {"alias": name, "transport": transport}
        return house.gate.api("POST", f"{W}/servers", body, local=True)["alias"]
    if noun in ("tool", "card"):
        return tool_of(house) if noun == "tool" else card_of(house)
    if noun == "secret":
        # One that each member has their own of, beside one that is an admin's to set.
        house.ok("POST", f"{W}/secrets", {"name": f"{name}-own", "mode": "member"})
    if noun == "grant":
        return house.ok("POST", f"{W}/grants", given(house, "grant", "add"))["id"]
    more = {"owner": new(house, "member")} if noun == "agent" else {}
    return house.ok("POST", f"{W}/{noun}s", {"name": name, **more})["name"]


def card_of(house: House) -> str:
    """A card that nobody decided on."""
    made = {"image": empty_image(house.gate)}
    return house.gate.api("POST", f"{W}/cards", made, local=True)["card"]["id"]


def tool_of(house: House) -> str:
    """A tool that nobody approved, as SERVER/TOOL; only the first of a server costs a process."""
    left = unused.setdefault(id(house), [])
    if not left:
        alias, command = f"stub{next(numbers)}", [sys.executable, str(STUB)]
        transport = {"type": "stdio", "command": command, "run_as": "gateway"}
        body = {"alias": alias, "transport": transport}
        house.gate.api("POST", f"{W}/servers", body, local=True)
        seen = house.gate.api("POST", f"{W}/servers/{alias}/observe", {}, local=True)
        left += [f"{alias}/{each['name']}" for each in seen["tools"]]
    return left.pop()


def given(house: House, noun: str, verb: str, row: str = "") -> dict[str, object]:
    """What a verb can be given on a row; each that is declared has its line here."""
    fresh = f"{noun}{next(numbers)}"
    server, _, tool = row.partition("/")

    def digest() -> str:
        shown = house.ok("GET", f"{W}/servers/{server}/tools/show?tool={tool}")
        return shown["tool"]["digest"]

    return {
        "tool approve": lambda: {"tools": {tool: digest()}},
        "tool block": lambda: {"tool": tool},
        "tool unblock": lambda: {"tools": [tool]},
        "tool review": lambda: {"tools": {tool: {"digest": digest(), "read_only": True}}},
        "member add": lambda: {"email": f"{fresh}@y.test", "role": "auditor"},
        "member rename": lambda: {"name": "Ada L."},
        "member role": lambda: {"role": "admin"},
        "member revoke": lambda: {"transfer_to": new(house, "member")},
        "agent add": lambda: {"name": fresh, "owner": new(house, "member")},
        "agent transfer": lambda: {"owner": new(house, "member")},
        "grant add": lambda: {"group": new(house, "group"), "server": new(house, "server")},
        "secret declare": lambda: {"name": fresh, "mode": "agent"},
        "group create": lambda: {"name": fresh},
        "group add-member": lambda: {"principal": new(house, "agent")},
        "group remove-member": lambda: {"principal": member_of(house)},
    }.get(f"{noun} {verb}", dict)()


def member_of(house: House) -> str:
    """Who was just put into the newest group."""
    (*_, group) = house.ok("GET", f"{W}/groups?limit=500")["items"]
    who = new(house, "member")
    house.ok("POST", f"{W}/groups/{group['name']}/add-member", {"principal": who})
    return who


def asked(noun: Noun, verb: NounVerb, name: str) -> tuple[str, str]:
    """The method and the path of a verb."""
    if verb.makes:
        return "POST", f"{W}/{noun.plural}"
    path = f"{W}/{noun.plural}/{name}"
    if noun.below:
        path = f"{W}/{noun.below.plural}/{name.partition('/')[0]}/{noun.plural}"
    return ("DELETE", path) if verb.removes else ("POST", f"{path}/{verb.name}")


def ready(house: House, noun: Noun, verb: NounVerb) -> str:
    """A row on which the verb has something to do."""
    if verb.makes:
        return ""
    name = new(house, noun.name)
    if verb.name == "resume":
        house.ok("POST", f"{W}/{noun.plural}/{name}/suspend", {})
    if verb.name == "unblock":
        server, _, tool = name.partition("/")
        house.ok("POST", f"{W}/servers/{server}/tools/block", {"tool": tool})
    if verb.name in ("disable", "enable"):
        shown = {"description": house.ok("GET", f"{W}/servers/{name}")["digest"]}
        path = f"{W}/servers/{name}/approve"
        house.gate.api("POST", path, {**shown, "tools": {}, "instructions": ""}, local=True)
    if verb.name == "enable":
        house.ok("POST", f"{W}/{noun.plural}/{name}/disable", {})
    return name


@pytest.mark.parametrize(("noun", "verb"), EVERY)
def test_each_verb_stands_in_the_roles_the_api_and_the_commands(noun: Noun, verb: NounVerb):
    assert verb.act in VERBS
    method, path = asked(noun, verb, "{name}")
    described = json.loads((ROOT / "docs/reference/openapi.json").read_text("utf-8"))["paths"]
    operation = described[path.replace(W, "/api/v1/workspaces/{workspace}")][method.lower()]
    assert operation["description"] == verb.about
    group = root.get_command(click.Context(root), noun.name)
    told = CliRunner().invoke(group, [verb.name, "--help"])
    # A command that takes several rows by patterns has words of its own.
    assert (told.exit_code, bool(noun.below) or verb.about.split()[0] in told.output) == (0, True)


@pytest.mark.parametrize(("noun", "verb"), EVERY)
def test_no_verb_does_anything_for_a_role_that_may_not(house: House, noun: Noun, verb: NounVerb):
    name, before = ready(house, noun, verb), house.gov
    for role in ROLES:
        if not may(role, verb.act):
            house.refused(403, "forbidden", *asked(noun, verb, name), {}, by=role)
    assert house.gov == before


@pytest.mark.parametrize(("noun", "verb"), [each for each in EVERY if takes_a_body(each.values[1])])
def test_no_verb_takes_what_it_does_not_know(house: House, noun: Noun, verb: NounVerb):
    name = ready(house, noun, verb)
    body = given(house, noun.name, verb.name, name) | {"colour": "red"}
    before = house.gov
    house.refused(400, "invalid", *asked(noun, verb, name), body)
    assert house.gov == before


@pytest.mark.parametrize(("noun", "verb"), EVERY)
def test_each_verb_leaves_its_leaf_and_a_dry_run_tells_it_and_keeps_nothing(
    house: House, noun: Noun, verb: NounVerb
):
    name = ready(house, noun, verb)
    body = given(house, noun.name, verb.name, name)
    method, path = asked(noun, verb, name)
    why = "OPS-5" if verb.why else ""
    if why and verb.removes:
        path = f"{path}?why={why}"
    elif why:
        body["why"] = why
    before = house.gov
    told: list[str] = []
    if verb.tries:
        tried = f"{path}{'&' if '?' in path else '?'}dry_run=true"
        told = [each["what"] for each in house.ok(method, tried, body)["changes"]]
        assert house.gov == before
    house.ok(method, path, body)
    added = house.gov - before
    newest = house.ok("GET", f"{W}/audit/changes?limit={added}", by="owner")["items"]
    kinds = [each["type"] for each in reversed(newest)]
    own = [each["why"] for each in newest if each["type"].startswith(f"{noun.name}.")]
    assert set(own) == {why}
    if told:
        assert kinds[: len(told)] == told


@pytest.mark.parametrize(
    ("noun", "verb"), [e for e in EVERY if any(i.by for i in e.values[1].inputs)]
)
def test_a_row_that_has_to_be_named_is_missed_where_its_name_is_empty(
    house: House, noun: Noun, verb: NounVerb
):
    name = ready(house, noun, verb)
    body = given(house, noun.name, verb.name, name)
    for each in verb.inputs:
        if each.by is not None and each.needed:
            house.refused(404, "not_found", *asked(noun, verb, name), body | {each.name: ""})


@pytest.mark.parametrize("noun", [each for each in ALL if each not in BELOW])
def test_rows_are_listed_and_shown_by_id_and_by_name(house: House, noun: Noun):
    name = new(house, noun.name)
    listed = house.ok("GET", f"{W}/{noun.plural}?limit=500")["items"]
    (row,) = [each for each in listed if name in each.values()]
    for called in (name, row["id"]):
        assert row.items() <= house.ok("GET", f"{W}/{noun.plural}/{called}").items()
    assert set(noun.columns) <= row.keys()


@pytest.mark.parametrize("noun", BELOW)
def test_rows_below_others_are_listed_of_one_or_of_all_and_shown_by_name(house: House, noun: Noun):
    above, _, name = new(house, noun.name).partition("/")
    of_one = f"{W}/{noun.plural}?limit=500&{noun.below.name}="
    listed = house.ok("GET", of_one + above)["items"]
    assert {each[noun.below.name] for each in listed} == {above}
    (row,) = [each for each in listed if each["name"] == name]
    assert row in house.ok("GET", f"{W}/{noun.plural}?limit=500")["items"]
    path = f"{W}/{noun.below.plural}/%s/{noun.plural}/show?{noun.name}={name}"
    ident = house.ok("GET", f"{W}/{noun.below.plural}/{above}")["id"]
    for called in (above, ident):
        assert row in house.ok("GET", path % called).values()
    # A slash in what the path names divides nothing.
    house.refused(404, "not_found", "GET", path % f"{above}%2Fx")
    house.refused(404, "not_found", "GET", path.replace(name, f"x/{name}") % above)
    house.refused(404, "not_found", "GET", of_one + "nobody")
    assert set(noun.columns) <= row.keys()


OWNED = [pytest.param(noun, id=noun.name) for noun in NOUNS if noun.own is not None]


@pytest.mark.parametrize("noun", OWNED)
def test_who_may_not_read_all_is_listed_and_shown_their_own(house: House, noun: Noun):
    foreign = new(house, noun.name)
    listed = house.ok("GET", f"{W}/{noun.plural}?limit=500", by="member")["items"]
    assert listed
    assert foreign not in {each["id"] for each in listed}
    for row in listed:
        assert house.ok("GET", f"{W}/{noun.plural}/{row['id']}", by="member") == row
    house.refused(403, "forbidden", "GET", f"{W}/{noun.plural}/{foreign}", by="member")
