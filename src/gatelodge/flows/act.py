"""One change of governance state: who makes it, when and why, and the leaf that says so."""

import re
from typing import Literal, TypeVar, get_args

from msgspec import Struct

from gatelodge.core.catalog.bounds import DefinitionBounds
from gatelodge.core.errors import Forbidden, Invalid, NotFound
from gatelodge.core.ids import CredentialId, Instant, Kind, WorkspaceId
from gatelodge.core.people import Member, Role
from gatelodge.core.records.governance import GovFact, GovKind, Value
from gatelodge.core.roles import gives
from gatelodge.core.state import Row
from gatelodge.ports.store import StoreTx
from gatelodge.ports.world import FreshIds

R = TypeVar("R", bound=Row)

_OPERATORS = frozenset({"local", "system"})
_AT_HOME = "local:"

_AN_ID = re.compile(rf"(?:{'|'.join(get_args(Kind))})_[0-9A-Za-z]{{22}}")
_WHY = re.compile(r"[A-Za-z0-9][A-Za-z0-9#_./:-]{0,63}")


class GovernanceAct(Struct, frozen=True, kw_only=True):
    """A transaction, and on whose behalf it runs. `by` and `why` stand in each leaf it records.

    `credential` is the token with which it was asked for, empty on the gate's own machine.
    `why` is a ticket or a reason code: free text could name a person, and leaves are never erased.
    """

    tx: StoreTx
    by: str
    at: Instant
    ids: FreshIds
    why: str = ""
    credential: CredentialId | Literal[""] = ""

    bounds: DefinitionBounds = DefinitionBounds()
    """What of a server's definition is not the operator's alone."""

    def __post_init__(self) -> None:
        if self.why:
            ticket(self.why)

    @property
    def local(self) -> bool:
        """True for an operator on the gate's own machine, or the gate itself."""
        return is_operator(self.by)

    def record(self, t: GovKind, workspace: str, /, **subject: Value) -> None:
        """Append the leaf of this change."""
        self.tx.record(GovFact(t=t, by=self.by, workspace=workspace, why=self.why, subject=subject))

    def the(self, noun: type[R], **equals: object) -> R:
        """The one row with these values. Raises NotFound, in the same words wherever it is."""
        found = self.tx.find(noun, **equals)
        if not found:
            name = noun.__name__.lower()
            asked = next((str(v) for k, v in equals.items() if k != "workspace"), "")
            raise NotFound(
                f"there is no {name} {asked!r} here", remedy=f"See `gatelodge {name} list`."
            )
        return found[0]

    def role(self, workspace: WorkspaceId) -> Role:
        """The role in which this change is made; an operator counts as an owner.

        Raises Forbidden when `by` is not an active member of the workspace.
        """
        if self.local:
            return "owner"
        found = self.tx.find(Member, workspace=workspace, id=self.by, status="active")
        if not found:
            raise Forbidden("this change needs an active member of the workspace")
        return found[0].role

    def must_give(self, workspace: WorkspaceId, *roles: Role) -> None:
        """Raise Forbidden unless whoever acts may give (and take) each of these roles."""
        own = self.role(workspace)
        beyond = [role for role in roles if role not in gives(own)]
        if beyond:
            raise Forbidden(f"the role {own!r} does not reach to {beyond[0]!r}")

    def must_end(self, workspace: WorkspaceId, role: Role) -> None:
        """Raise Forbidden unless whoever acts may end the access of a member with this role."""
        if self.role(workspace) != "security":
            self.must_give(workspace, role)


def is_operator(by: str) -> bool:
    """Say whether that stands above the roles: the gate, or an operator on its own machine.

    An operator is `local`, or `local:UID` where the operating system said whose account it was.
    """
    return by in _OPERATORS or by.startswith(_AT_HOME)


def ticket(text: str) -> str:
    """The text of a ticket or reason code. Raises Invalid when it is anything freer."""
    if _WHY.fullmatch(text) is None:
        raise Invalid(
            "a reason is a ticket number or a code of up to 64 letters, digits and #_./:-",
            remedy="Write OPS-123 or `leaver`; free text stays in the ticket.",
        )
    return text


def a_line(what: str, text: str, longest: int = 120) -> str:
    """The text without space around it. Raises Invalid when it is empty, too long or not a line."""
    text = text.strip()
    if not 0 < len(text) <= longest or not text.isprintable():
        raise Invalid(f"{what} has to be one line of 1 to {longest} printable characters")
    return text


def a_name(what: str, text: str) -> str:
    """The text as a name, which is `a_line`. Raises Invalid, also for what is written as ids are.

    An id is taken wherever a name is, and first: whoever named such a row would mean another.
    """
    text = a_line(what, text, 64)
    if _AN_ID.fullmatch(text):
        raise Invalid(f"{what} is not written as an id is", remedy="Choose another name.")
    return text
