"""What a node has to do when new leaves appear in the gov log.

Ends of access are acted on at once, before anything is compiled; everything else says which nouns
of the state have to be read again. A leaf type that is not in the table means: read everything.
Source: decision 0007.
"""

import msgspec
from msgspec import Struct

from gatelodge.core.ids import CredentialId, PrincipalId, ServerId

_CREDENTIALS = frozenset(("credentials",))
_PEOPLE = frozenset(("members", "agents", "group_members", "credentials"))
_NOTHING: frozenset[str] = frozenset()

_READ_AGAIN: dict[str, frozenset[str]] = {
    "workspace.": frozenset(("workspaces",)),
    "member.": _PEOPLE,
    "agent.": _PEOPLE,
    "group.": frozenset(("groups", "group_members", "grants")),
    "token.": _CREDENTIALS,
    "server.": frozenset(("servers", "tools", "grants")),
    "catalog.": frozenset(("tools",)),
    "tool.": frozenset(("tools",)),
    "grant.": frozenset(("grants",)),
    "guardrail.": frozenset(("guardrails",)),
    "instance.": _NOTHING,
    # What was typed into a server moves into the vault with such a leaf.
    "secret.": frozenset(("secrets", "secret_values", "servers")),
    "card.": frozenset(("cards",)),
    "log.": _NOTHING,
    "key.": _NOTHING,
    "settings.": _NOTHING,
    "revocation.": _NOTHING,
    "audit.": _NOTHING,
}

_ENDS: dict[str, tuple[str, str]] = {
    "member.suspended": ("principals", "member"),
    "member.revoked": ("principals", "member"),
    "agent.suspended": ("principals", "agent"),
    "agent.revoked": ("principals", "agent"),
    "token.revoked": ("credentials", "token"),
    "server.disabled": ("servers", "server"),
    "server.removed": ("servers", "server"),
}


class AccessEffects(Struct, frozen=True, kw_only=True):
    """Whose access ended, and which nouns changed (None = all of them)."""

    principals: frozenset[PrincipalId] = frozenset()
    credentials: frozenset[CredentialId] = frozenset()
    servers: frozenset[ServerId] = frozenset()
    killed: frozenset[ServerId] = frozenset()
    """Servers of which whatever runs is to be killed, on every node."""
    nouns: frozenset[str] | None = frozenset()

    @property
    def ends_access(self) -> bool:
        """True when something has to be cut."""
        return bool(self.principals or self.credentials or self.servers)


class _EffectLeaf(Struct):
    t: str
    subject: dict[str, object] = {}


_leaf = msgspec.json.Decoder(_EffectLeaf).decode


def effects(leaves: tuple[bytes, ...]) -> AccessEffects:
    """Fold the new leaves of the gov log into what has to be done."""
    ended: dict[str, set[str]] = {"principals": set(), "credentials": set(), "servers": set()}
    nouns: set[str] = set()
    killed: set[ServerId] = set()
    everything = False
    for body in leaves:
        leaf = _leaf(body)
        # A kind without a dot has no prefix here, so it is one that nobody knows: all is read.
        again = _READ_AGAIN.get(leaf.t[: leaf.t.find(".") + 1])
        if again is None:
            # A newer node may write it: to read too little could leave somebody in.
            everything = True
        else:
            nouns |= again
        # The leaf alone says whose access ends: to read rows first could outlast the lease.
        if leaf.t in _ENDS:
            kind, member = _ENDS[leaf.t]
            ended[kind].add(str(leaf.subject.get(member, "")))
        if leaf.t == "instance.ended" and "instance" not in leaf.subject:
            killed.add(ServerId(str(leaf.subject.get("server", ""))))
    return AccessEffects(
        principals=frozenset(map(PrincipalId, ended["principals"])),
        credentials=frozenset(map(CredentialId, ended["credentials"])),
        servers=frozenset(map(ServerId, ended["servers"])),
        killed=frozenset(killed),
        nouns=None if everything else frozenset(nouns),
    )
