"""The leaves of the `gov` log: each change of who may do what, by pseudonymous ids only.

Names and e-mail addresses never stand in a leaf; they live in the directory rows. `by` is a
member id, or "system" (first start) or "local" (an operator on the gate's own machine). The
fields of `subject` are what an access history is folded from; see `docs/reference/records.md`.
"""

from typing import Literal

import rfc8785
from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.tlog.tile import MAX_BODY

GovKind = Literal[
    "log.opened",
    "log.restored",
    "workspace.created",
    "member.added",
    "member.renamed",
    "member.role_changed",
    "member.suspended",
    "member.resumed",
    "member.revoked",
    "member.erased",
    "agent.added",
    "agent.suspended",
    "agent.resumed",
    "agent.revoked",
    "agent.owner_changed",
    "group.created",
    "group.removed",
    "group.member_added",
    "group.member_removed",
    "token.issued",
    "token.revoked",
    "server.registered",
    "server.approved",
    "server.process_started",
    "server.quarantined",
    "server.restarted",
    "instance.ended",
    "instance.paused",
    "instance.resumed",
    "server.time_limits_changed",
    "server.disabled",
    "server.removed",
    "catalog.observed",
    "tool.approved",
    "tool.blocked",
    "tool.repinned",
    "tool.reviewed",
    "tool.unblocked",
    "instructions.observed",
    "instructions.approved",
    "grant.created",
    "grant.revoked",
    "guardrail.published",
    "guardrail.retired",
    "key.enrolled",
    "settings.durability_changed",
    "revocation.receipt",
    "secret.declared",
    "secret.set",
    "secret.rotated",
    "secret.erased",
    "secret.removed",
    "secret.adopted",
    "secret.rewrapped",
    "card.made",
    "card.approved",
    "card.rejected",
    "audit.read",
]

Value = str | int | bool | None | list[str] | dict[str, str] | dict[str, int]


class GovFact(Struct, frozen=True, kw_only=True):
    """One change, before it has a place in the log. `workspace` is empty for the organization."""

    t: GovKind
    by: str
    workspace: str = ""
    why: str = ""
    subject: dict[str, Value]


def gov_leaf(fact: GovFact, at: str, node: str) -> bytes:
    """The canonical bytes (RFC 8785) of a change made at `at` (RFC 3339, six digits) by `node`.

    Raises Invalid for one that says more than an entry of a log may hold.
    """
    body: dict[str, object] = {
        "v": 1,
        "t": fact.t,
        "at": at,
        "by": fact.by,
        "node": node,
        "subject": fact.subject,
    }
    if fact.workspace:
        body["workspace"] = fact.workspace
    if fact.why:
        body["why"] = fact.why
    leaf: bytes = rfc8785.dumps(body)  # type: ignore[arg-type]
    # The length of an entry has 16 bits (C2SP tlog-tiles): a longer leaf could never be appended,
    # so the change fails while its transaction can still be given up.
    if len(leaf) > MAX_BODY:
        raise Invalid(
            f"the change says more than one record of the log may hold ({MAX_BODY} bytes)",
            remedy="Make it shorter, or make it in parts.",
        )
    return leaf
