"""No text of an outsider brings the gate down, however it nests: native parsers have no handler."""

from types import SimpleNamespace

import cedarpy
import pytest
from tests.fuzz.guardrail_texts import LONGEST, WRAPS, condition, misfits, nests, rows, wrapped
from tests.unit.policy.parsing import accepted, survives
from tests.unit.view.rows import guardrail

from gatelodge.core.errors import Invalid
from gatelodge.core.policy.extent import LEVELS, SIGNS, check_extent
from gatelodge.core.policy.guardrails import compile_guardrail, validate

NAMED = "[" + ", ".join(['Gatelodge::Tool::"srv_x/t"'] * 300) + "].contains(resource)"


def deepest(wrap, levels):
    """The wrap as often as a text may hold it (up to some thousand times)."""
    low, high = 0, 4_000
    while high - low > 1:
        middle = (low + high) // 2
        text = condition(wrapped("true", wrap, middle))
        low, high = (middle, high) if accepted(text, levels) else (low, middle)
    return condition(wrapped("true", wrap, low))


@pytest.mark.slow
def test_every_sign_repeated_and_every_nest_at_its_limit_leaves_the_process_alive():
    texts = [
        *rows(),
        *(deepest(wrap, LEVELS) for wrap in WRAPS),
        *nests(2),
        *nests(1_500),
        *misfits(),
    ]
    survives(texts, 512)


@pytest.mark.parametrize(
    "inside",
    [
        " || ".join(f'resource in Gatelodge::Tag::"t{n}"' for n in range(20)),
        NAMED,
        "!((resource.readOnly || (resource.pinned && !(resource.destructive))))",
    ],
)
def test_what_people_write_is_far_from_the_limits(inside):
    validate(condition(inside))


def test_a_text_over_the_limits_is_refused_with_the_place_and_forbids_where_it_stands():
    deep = "(" * 900 + "true" + ")" * 900
    text = f'@reason("no")\nforbid (principal, action, resource)\nwhen {{ {deep} }};'
    with pytest.raises(Invalid, match="Line 3: the guardrail nests deeper than 64 levels"):
        validate(text)
    assert compile_guardrail(guardrail(text)).policies is None
    many = f"when {{ [{'1,' * (SIGNS // 2)}1] == [1] }};"
    with pytest.raises(Invalid, match=f"Line 2: the guardrail has more than {SIGNS}"):
        validate(f"forbid (principal, action, resource)\n{many}")


def test_a_published_text_of_an_older_release_binds_as_it_did():
    row = " || ".join(["resource.pinned"] * 85)
    compiled = compile_guardrail(guardrail(condition(row)))
    assert compiled.policies is not None
    with pytest.raises(Invalid, match="nests deeper"):
        validate(condition(row))


@pytest.mark.parametrize("text", ['@reason("no', '"' + '\\"' * 8_000, "forbid (principal, [x)"])
def test_a_string_or_bracket_that_does_not_fit_is_refused_before_it_is_parsed(text):
    with pytest.raises(Invalid, match="Line 1"):
        check_extent(text)


def test_the_failing_line_is_found_in_a_few_looks(monkeypatch):
    looks = []
    real = cedarpy.PolicySet.from_str

    def look(text, **options):
        looks.append(text)
        return real(text, **options)

    monkeypatch.setattr(cedarpy, "PolicySet", SimpleNamespace(from_str=look))
    opening = '@reason("no") forbid (principal, action, resource)\n'
    text = opening + "\n" * 9_000 + "whn { true };" + "\n" * 7_000
    with pytest.raises(Invalid, match="Line 9002"):
        validate(text)
    assert len(looks) < 30
    assert len(text) < LONGEST


@pytest.mark.parametrize("bad", [1, 2, 3, 4, 5, 8, 9, 16, 17])
@pytest.mark.parametrize("lines", [1, 2, 3, 5, 8, 9, 17])
def test_the_failing_line_is_the_one_that_nothing_after_it_could_mend(lines, bad):
    opening, rest = '@reason("no") forbid (principal, action, resource) when {', ["\n"] * lines
    rest[min(bad, lines) - 1] = "\n@a true"
    with pytest.raises(Invalid, match=rf"^Line {min(bad, lines) + 1}: unexpected token"):
        validate(opening + "".join(rest) + "};" + "\n" * bad)


@pytest.mark.parametrize("sign", ["@a", ",", "a", "1", "forbid", "\n,", ";"])
def test_what_fits_nowhere_is_not_read_again_and_again_below_many_levels(sign):
    """The parser walks its stack for each of them: 150 ms for 3,000 commas below sixty levels."""
    below = "if true then 1 else " * 60
    with pytest.raises(Invalid, match="too many words and signs below so many levels"):
        check_extent(condition(below + f"{sign} " * 1_700))
    check_extent(condition(f"{sign} " * 1_700))


def test_no_part_of_a_comment_is_parsed_on_the_way_to_the_failing_line():
    text = condition("tru") + "\n// \x0b" + "(" * 3_000 + "\n// \u2028" + "[" * 3_000
    survives([text], 512)


@pytest.mark.parametrize("bad", ["$", "1 & 1", "'a'"])
def test_a_line_that_ends_within_a_string_is_not_taken_for_the_failing_one(bad):
    text = (
        f'@reason("no\n\n, never")\n// "\nforbid (principal, action, resource)\nwhen {{\n{bad} }};'
    )
    with pytest.raises(Invalid, match=r"^Line 7: invalid token"):
        validate(text)
    with pytest.raises(Invalid, match=r"^Line 3: invalid token"):
        validate(f'@reason("no\n\n, {bad}" {bad})\nforbid (principal, action, resource);')


@pytest.mark.parametrize(
    ("said", "rest"),
    [
        ("permit", "permit (principal, action, resource);"),
        ("@id", '@id("mine") forbid (principal, action, resource);'),
        ("readOnl", "forbid (principal, action, resource) when { resource.readOnl };"),
    ],
)
def test_what_a_reason_or_a_comment_says_is_not_taken_for_the_failing_line(said, rest):
    with pytest.raises(Invalid, match=r"^Line 4: "):
        validate(f'@reason("no\n{said}")\n// {said}\n{rest}')


@pytest.mark.parametrize(
    ("rest", "line"),
    [
        ("forbid (principal, action, resource)\nwhen\n{\n&& [ 1\n] == &&\n}\n\n;", 5),
        ("\nforbid (principal, action, resource) when { @a };\npermit (\nprincipal\n);", 3),
        ("forbid (principal,\naction\n;, resource)\nwhen\n{\ntrue\n};", 4),
    ],
)
def test_what_follows_a_fault_does_not_hide_its_line(rest, line):
    with pytest.raises(Invalid, match=f"^Line {line}: "):
        validate(f'@reason("no")\n{rest}')
