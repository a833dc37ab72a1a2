"""The answer of the policy: allow, ask or deny, always with the rule that says so."""

from typing import Literal

from msgspec import Struct

DenyReason = Literal[
    "no_grant",
    "guardrail",
    "tool_unknown",
    "tool_changed",
    "server_disabled",
    "policy_error",
    "approval_denied",
    "quota",
    "audit_unavailable",
    "header_mismatch",
    "missing_capability",
]


class Allow(Struct, frozen=True, tag="allow", gc=False):
    """The call may be made; `rule` is the grant or policy id that permits it."""

    rule: str


class Ask(Struct, frozen=True, tag="ask", gc=False):
    """A person has to answer first; `rule` is the guardrail that asks."""

    rule: str
    approvers: tuple[str, ...] = ()


class Deny(Struct, frozen=True, tag="deny", gc=False):
    """The call may not be made.

    `hidden` says that the tool must look as if it did not exist. `text` and `advice` come from the
    guardrail's author and are safe to show to the caller.
    """

    reason: DenyReason
    rule: str = ""
    text: str = ""
    advice: str = ""
    hidden: bool = False


Decision = Allow | Ask | Deny
