"""A workspace's rules made ready: grants by grantee, guardrails, the text and its digest."""

from collections.abc import Iterable
from hashlib import sha256

from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.ids import ServerId, WorkspaceId
from gatelodge.core.policy.grants import CompiledGrant, compile_grant
from gatelodge.core.policy.guardrails import PINNED_TEXT, CompiledGuardrail, compile_guardrail
from gatelodge.core.policy.rules import Grant, Guardrail
from gatelodge.core.view_entry import PrincipalEntry

Subject = tuple[str, str]
"""Who a grant is for: ("group", id), ("member", id), ("agent", id) or ("everyone", "")."""

GrantsByServer = dict[ServerId, tuple[CompiledGrant, ...]]


class CompiledGuardrails(Struct, frozen=True, eq=False, gc=False):
    """The guardrails of a workspace by id: those that bind, and those that only watch.

    Compared by identity: the same object in two views means the same guardrails.
    """

    enforced: tuple[CompiledGuardrail, ...] = ()
    watching: tuple[CompiledGuardrail, ...] = ()

    @property
    def all(self) -> tuple[CompiledGuardrail, ...]:
        """Both kinds, the binding ones first."""
        return self.enforced + self.watching


class WorkspaceRules(Struct, frozen=True, eq=False, gc=False):
    """What decides in one workspace.

    `groups` and `named` are the only groups and principals the rules can tell from others, `reads`
    the attributes of principals that they ask for.
    """

    workspace: WorkspaceId
    grants: dict[Subject, GrantsByServer]
    guards: CompiledGuardrails
    groups: frozenset[str]
    named: frozenset[str]
    reads: frozenset[str]
    text: str
    digest: str
    faults: tuple[str, ...] = ()


def compile_grants(
    rows: Iterable[Grant], before: dict[str, CompiledGrant]
) -> tuple[dict[str, CompiledGrant], list[tuple[WorkspaceId, str]]]:
    """The grants by id, in the order of ids, unchanged ones taken from `before`.

    And the faults, each with its workspace: a grant that cannot be put into Cedar permits nothing.
    """
    compiled: dict[str, CompiledGrant] = {}
    faults: list[tuple[WorkspaceId, str]] = []
    # Rows come in no fixed order, but the text and its digest have to be alike on every node.
    for row in sorted(rows, key=lambda grant: grant.id):
        known = before.get(row.id)
        if known is not None and known.grant == row:
            compiled[row.id] = known
            continue
        try:
            compiled[row.id] = compile_grant(row)
        except Invalid as fault:
            faults.append((row.workspace, fault.detail))
    return compiled, faults


def compile_guardrails(
    rows: Iterable[Guardrail], before: dict[str, CompiledGuardrail]
) -> dict[str, CompiledGuardrail]:
    """The guardrails by id, retired ones too, unchanged ones taken from `before`."""
    compiled: dict[str, CompiledGuardrail] = {}
    for row in sorted(rows, key=lambda guardrail: guardrail.id):
        known = before.get(row.id)
        same = known is not None and known.guardrail == row
        compiled[row.id] = known if known is not None and same else compile_guardrail(row)
    return compiled


def compile_rules(
    workspace: WorkspaceId,
    grants: list[CompiledGrant],
    guards: CompiledGuardrails,
    before: WorkspaceRules | None,
) -> WorkspaceRules:
    """The rules of a workspace; `before` itself when nothing of it changed."""
    index: dict[Subject, dict[ServerId, list[CompiledGrant]]] = {}
    for compiled in grants:
        row = compiled.grant
        subject = (row.grantee_kind, "" if row.grantee_kind == "everyone" else row.grantee)
        index.setdefault(subject, {}).setdefault(row.server, []).append(compiled)
    by_subject = {
        subject: {server: tuple(found) for server, found in servers.items()}
        for subject, servers in index.items()
    }
    # By the same object the next compilation sees that its tables still stand.
    if before is not None and before.guards is guards and before.grants == by_subject:
        return before
    text = policy_text(grants, guards.enforced)
    # A watching guardrail decides nothing, but a record's digest stands for it too.
    watching = "\n\n".join(guard.text for guard in guards.watching)
    mentioned = frozenset[tuple[str, str]]().union(*(guard.named for guard in guards.all))
    persons = {"Member", "Agent"}
    return WorkspaceRules(
        workspace,
        by_subject,
        guards,
        frozenset(ident for kind, ident in by_subject if kind == "group")
        | {ident for kind, ident in mentioned if kind == "Group"},
        frozenset(ident for kind, ident in by_subject if kind in {"member", "agent"})
        | {ident for kind, ident in mentioned if kind in persons},
        frozenset[str]().union(*(guard.reads for guard in guards.all)),
        text,
        # A row may hold half of a surrogate pair, and compiling fails for nothing that a row holds.
        sha256(f"{text}\n// watching\n{watching}".encode("utf-8", "surrogatepass")).hexdigest(),
        tuple(
            f"The guardrail {guard.id} is not one Cedar forbid."
            for guard in guards.all
            if guard.policies is None
        ),
    )


def policy_text(grants: Iterable[CompiledGrant], guards: Iterable[CompiledGuardrail]) -> str:
    """The enforced policies of a workspace as one Cedar text, in a fixed order."""
    parts = [PINNED_TEXT, *(guard.text for guard in guards), *(grant.text for grant in grants)]
    return "\n\n".join(parts) + "\n"


def subjects(principal: PrincipalEntry) -> list[Subject]:
    """Every grantee this principal counts as."""
    found: list[Subject] = [("everyone", ""), (principal.kind, principal.id)]
    found.extend(("group", group) for group in principal.groups)
    return found


def principal_class(rules: WorkspaceRules, principal: PrincipalEntry) -> tuple[object, ...]:
    """A key that two principals share only if no rule of the workspace can tell them apart."""
    itself: object = principal.kind
    # A rule that reads the owner may treat agents differently that are alike in all else.
    if principal.id in rules.named or ("owner" in rules.reads and principal.owner is not None):
        itself = (principal.id, principal.owner)
    return (
        rules.workspace,
        itself,
        tuple(group for group in principal.groups if group in rules.groups),
        principal.role if "role" in rules.reads else "",
    )
