"""Grants made into Cedar: one generated permit each, its expiry inside the policy text."""

from typing import Final

from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.ids import Instant
from gatelodge.core.policy.decision import Allow
from gatelodge.core.policy.rules import Grant, Level
from gatelodge.core.policy.schema import ANY_USE, moment, plain, tool_id, uid
from gatelodge.core.view_entry import Entry

NEVER: Final = 2**63
"""The `until` of a grant that does not expire: after every instant."""

_REACH: dict[Level, int] = {"read": 0, "use": 1, "all": 2}

_CONDITION: dict[Level, str] = {
    "read": " && resource.readOnly",
    "use": " && !resource.destructive",
    "all": "",
}


class CompiledGrant(Struct, frozen=True, eq=False, gc=False):
    """A grant ready to decide with; compared by identity.

    It permits before `until` (whole milliseconds, as Cedar counts) what its `reach` covers.
    """

    grant: Grant
    text: str
    until: int
    reach: int
    allow: Allow

    def covers(self, entry: Entry) -> bool:
        """True when this grant permits that entry of its server to its grantee while it lasts.

        A grant on the whole server covers its prompts and resources, whatever its level: they are
        read-only. One on a single tool does not.
        """
        return self.grant.tool in {"", entry.key} and entry.rank <= self.reach


def permit_text(grant: Grant) -> str:
    """The generated permit. Raises Invalid when the expiry is not a time Cedar can hold."""
    # Both ends are tied to the workspace: a row that names another's server reaches nothing.
    home = uid("Workspace", grant.workspace)
    resource = f"resource in {uid('Server', grant.server)}"
    if grant.tool:
        resource = f"resource == {uid('Tool', tool_id(grant.server, grant.tool))}"
    # Every id in it is percent-encoded, so none can end its string and go on as policy.
    return (
        f'@id("{plain(grant.id)}")\n'
        f"permit ({_grantee_constraint(grant)}, action in {ANY_USE}, {resource})\n"
        f"when {{ principal in {home} && resource in {home}"
        f"{_CONDITION[grant.level]}{_expiry_condition(grant)} }};"
    )


def compile_grant(grant: Grant) -> CompiledGrant:
    """Make a grant ready to decide with. Raises Invalid as `permit_text`."""
    # It is cut as the text cuts it: table and policy end a grant in the same millisecond.
    until = NEVER if grant.expires_at is None else grant.expires_at // 1000 * 1000
    return CompiledGrant(
        grant, permit_text(grant), until, _REACH[grant.level], Allow(plain(grant.id))
    )


def _grantee_constraint(grant: Grant) -> str:
    match grant.grantee_kind:
        case "member":
            return f"principal == {uid('Member', grant.grantee)}"
        case "agent":
            return f"principal == {uid('Agent', grant.grantee)}"
        case "group":
            return f"principal in {uid('Group', grant.grantee)}"
        case "everyone":
            return f"principal in {uid('Workspace', grant.workspace)}"


def _expiry_condition(grant: Grant) -> str:
    if grant.expires_at is None:
        return ""
    try:
        return f' && context.now < datetime("{moment(Instant(grant.expires_at))}")'
    except ValueError as fault:
        raise Invalid(f"The expiry of grant {grant.id} is not a time before the year 10000.") from (
            fault
        )
