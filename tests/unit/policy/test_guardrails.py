import cedarpy
import pytest
from tests.unit.view.rows import guardrail, member, server, tool, view

from gatelodge.core.errors import Invalid
from gatelodge.core.policy.guardrails import PINNED_TEXT, compile_guardrail, validate
from gatelodge.core.policy.schema import schema

PLAIN = '@reason("no") forbid (principal, action, resource);'
FULL = """
@reason("no")
@advice("ask")
forbid (principal is Gatelodge::Agent,
  action in Gatelodge::Action::"use",
  resource in Gatelodge::Tag::"prod")
when { !resource.readOnly && context.now < datetime("2027-01-01") }
unless { context.credential == "agent" };
// the end"""
ROLE = """
@reason("no") forbid (principal, action, resource)
when { principal is Gatelodge::Member && principal.role == "member" };"""
OWNER = """
@reason("no") forbid (principal, action, resource)
when { principal is Gatelodge::Agent && principal.owner in Gatelodge::Group::"grp_x" };"""
WRONG_TIME = """\
@reason("no") forbid (principal, action, resource)
when { datetime("soon") < context.now };"""
READING = """
@reason("no") forbid (principal, action == Gatelodge::Action::"get", resource)
when { resource is Gatelodge::Prompt && resource == Gatelodge::Prompt::"srv_x" };"""
GOOD = [PLAIN, FULL, ROLE, OWNER, READING]

A, B = ('Gatelodge::Tool::"srv_x/a"', 'Gatelodge::Tool::"srv_x/b"')
FOR_TOOLS = [
    f"[{A}, {B}].contains(resource)",
    f"[resource].containsAny([{A}])",
    f"[resource] == [{A}]",
    f"{{it: resource}} == {{it: {A}}}",
    f"(if resource.readOnly then resource else {A}) == {B}",
    f"resource == {A} || resource in [{A}, {B}]",
    "resource.pinned && resource has readOnly",
    'action == Gatelodge::Action::"call" && resource is Gatelodge::Tool',
]
"""What could be written when tools were all there was."""

REFUSED = {
    "no policy": ("// nothing", "exactly one policy"),
    "two policies": (PLAIN + PLAIN, "holds 2"),
    "a permit": ('@reason("no")\npermit (principal, action, resource);', "Line 2: a guardrail can"),
    "no reason": ("forbid (principal, action, resource);", "@reason"),
    "an empty reason": ('@reason(" ") forbid (principal, action, resource);', "@reason"),
    "an id": ('@reason("no")\n@id("g-pinned")\n' + PLAIN[14:], "Line 2: the gate sets @id"),
    "a slot": ('@reason("no") forbid (principal == ?principal, action, resource);', "no slots"),
    "half a policy": ('@reason("no")\nforbid (principal,\n', "Line 2: unexpected end"),
    "a wrong word": (
        '@reason("no")\nforbid (principal, action, resource)\nwhn { true };\n\n// end',
        "Line 3: ",
    ),
    "an unknown attribute": (
        '@reason("no")\nforbid (principal, action, resource)\nwhen { resource.price > 5 };',
        "Line 3: attribute `price`",
    ),
    "an attribute of members only": (
        '@reason("no") forbid (principal, action, resource) when { principal.role == "owner" };',
        "role",
    ),
    "a set of one type for all resources": (
        f'{PLAIN[:-1]} when {{ [Gatelodge::Prompt::"x"].contains(resource) }};',
        "not compatible",
    ),
    "an unknown entity": (
        '@reason("no")\nforbid (principal in Gatelodge::Team::"x", action, resource);',
        "Line 2: ",
    ),
    "a wrong time": (WRONG_TIME, "datetime"),
    "too long": (PLAIN + "//" + "x" * 20_000, "longer than"),
    "a long reason": (f'@reason("{"x" * 501}") ' + PLAIN[14:], "at most 500"),
    "an endless nest": (
        f'@reason("no") forbid (principal, action, resource) when {{ {"!" * 300}true }};',
        "Line 1",
    ),
}


@pytest.mark.parametrize("text", GOOD)
def test_a_good_guardrail_may_be_published(text):
    validate(text)


@pytest.mark.parametrize("condition", FOR_TOOLS)
def test_a_guardrail_written_with_tools_alone_in_mind_may_be_published(condition):
    validate(f'@reason("no") forbid (principal, action, resource) when {{ {condition} }};')


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_guardrail_is_refused_with_the_place(case):
    text, told = REFUSED[case]
    with pytest.raises(Invalid) as caught:
        validate(text)
    assert told in caught.value.detail
    assert caught.value.code == "error.refused.invalid"


def test_the_built_in_guardrail_passes_the_schema():
    assert cedarpy.validate_policies(PINNED_TEXT, schema()).validation_passed


def test_everything_published_stays_one_policy_with_our_id():
    for text in GOOD:
        compiled = compile_guardrail(guardrail(text, "grd_7"))
        found = cedarpy.policies_to_pst(compiled.text).static_policies
        assert [policy.annotations["id"] for policy in found.values()] == ["grd_7"]


def test_a_published_text_that_is_no_forbid_is_named_as_a_fault():
    made = view(member(), server(), tool(), guardrail("forbid (", "grd_old"))
    assert made.faults == ("The guardrail grd_old is not one Cedar forbid.",)
