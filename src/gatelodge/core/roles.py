"""What each role of a workspace may do in the admin API, as one table.

A role says who may change the house, never who may call a tool: that is what grants are for.
Ending access (suspend, revoke, block, disable) is open to more roles than giving it.
"""

from typing import Final, Literal, get_args

from gatelodge.core.people import Role

Verb = Literal[
    "token.own",
    "secret.own",
    "access.own",
    "workspace.read",
    "member.read",
    "member.add",
    "member.role",
    "member.suspend",
    "member.resume",
    "member.revoke",
    "agent.read",
    "agent.add",
    "agent.suspend",
    "agent.resume",
    "agent.transfer",
    "agent.revoke",
    "group.read",
    "group.create",
    "group.add_member",
    "group.remove_member",
    "group.remove",
    "token.read",
    "token.issue",
    "token.revoke",
    "server.read",
    "server.register",
    "server.approve",
    "server.disable",
    "server.remove",
    "tool.read",
    "tool.observe",
    "tool.approve",
    "tool.block",
    "tool.review",
    "card.read",
    "secret.read",
    "secret.set",
    "secret.remove",
    "grant.read",
    "grant.create",
    "grant.revoke",
    "guardrail.read",
    "guardrail.publish",
    "guardrail.retire",
    "access.read",
    "audit.read",
    "audit.export",
    "metrics.read",
    "job.read",
    "settings.read",
    "apply",
]
"""`.own` is what anybody may do with their own credentials and see of their own access. A change
that no role may make (a new workspace, a guardrail for the whole organization) is the operator's
on the gate's own machine."""

VERBS: Final[tuple[Verb, ...]] = get_args(Verb)

_OWN: Final = frozenset[Verb]({"token.own", "secret.own", "access.own"})
_HOUSE: Final = frozenset[Verb]({"settings.read"})
"""What tells of the whole house: for its owners, and for whoever checks it."""
_READ: Final = frozenset(verb for verb in VERBS if verb.endswith(".read")) - {"audit.read"} - _HOUSE
_AUDIT: Final = frozenset[Verb]({"audit.read", "audit.export"})
_END: Final = frozenset[Verb](
    {
        "member.suspend",
        "member.revoke",
        "agent.suspend",
        "agent.revoke",
        "group.remove_member",
        "token.revoke",
        "server.disable",
        "tool.block",
        "grant.revoke",
    }
)
_GUARDRAILS: Final = frozenset[Verb]({"guardrail.publish", "guardrail.retire"})

TABLE: Final[dict[str, frozenset[Verb]]] = {
    "owner": frozenset(VERBS),
    "security": _OWN | _READ | _AUDIT | _END | _GUARDRAILS,
    "admin": frozenset(VERBS) - _AUDIT - _GUARDRAILS - _HOUSE - {"apply"},
    "auditor": _OWN | _READ | _AUDIT | _HOUSE,
    "member": _OWN,
}

_GIVES: Final[dict[str, frozenset[Role]]] = {
    "owner": frozenset(get_args(Role)),
    "admin": frozenset({"admin", "member"}),
}


def may(role: str, verb: str) -> bool:
    """True when the role may do that. A role or verb that is not in the table may nothing."""
    return verb in TABLE.get(role, frozenset())


def gives(role: str) -> frozenset[Role]:
    """The roles that a role may give, take, or issue tokens for: never more than it has itself."""
    # `security` ends access and gives none, so it may issue no token of another member either.
    return _GIVES.get(role, frozenset())
