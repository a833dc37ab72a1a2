"""A year of a large house as leaves of the gov log, without a house: what a fold reads."""

import random
from collections.abc import Iterator

import msgspec

from gatelodge.core.ids import Instant
from gatelodge.core.instant import rfc3339

BEGINS = 1_764_547_200_000_000
DAY = 86_400_000_000
TOOLS = 10
GROUPS = 30
_OFTEN = ("grant.created", "grant.created", "grant.revoked", "group.member_added", "token.issued")
_ALSO = (
    "group.member_removed",
    "member.suspended",
    "member.resumed",
    "audit.read",
    "catalog.observed",
)


class WrittenYear:
    """`count` leaves of a house of so many people and servers, spread over a year."""

    def __init__(self, count: int, people: int, servers: int) -> None:
        self.people = [f"mem_{n:05}" for n in range(people)]
        self.servers = [f"srv_{n:03}" for n in range(servers)]
        self.groups = [f"grp_{n:02}" for n in range(GROUPS)]
        self._count = count
        self._dice = random.Random(20_261)
        self._grants: list[str] = []
        self._made = 0

    def leaves(self) -> Iterator[bytes]:
        """The leaves in their order."""
        told = list(self._founding())
        while len(told) < self._count:
            told.append(self._change())
        step = 365 * DAY // len(told)
        for place, (kind, subject) in enumerate(told):
            leaf = {
                "at": rfc3339(Instant(BEGINS + place * step)),
                "by": "mem_00000",
                "subject": subject,
                "t": kind,
                "workspace": "wsp_home",
            }
            yield msgspec.json.encode(leaf)

    def _founding(self) -> Iterator[tuple[str, dict[str, object]]]:
        yield "workspace.created", {"slug": "main"}
        for member in self.people:
            role = "owner" if member == self.people[0] else "member"
            yield "member.added", {"member": member, "role": role}
        for group in self.groups:
            yield "group.created", {"group": group}
        for server in self.servers:
            alias = server.replace("srv_", "s")
            yield "server.registered", {"server": server, "alias": alias, "tags": []}
            yield "server.approved", {"server": server}
            yield "catalog.observed", self._look(server)
            for n in range(TOOLS):
                judged = {"server": server, "tool": f"tool_{n}", "def_sha256": f"d{n}"}
                yield "tool.approved", judged

    def _look(self, server: str) -> dict[str, object]:
        return {"server": server, "tools": {f"tool_{n}": f"d{n}" for n in range(TOOLS)}, "gone": []}

    def _change(self) -> tuple[str, dict[str, object]]:
        dice = self._dice
        kind = dice.choice(_OFTEN) if dice.random() < 0.9 else dice.choice(_ALSO)
        who, group = dice.choice(self.people[1:]), dice.choice(self.groups)
        if kind == "grant.revoked" and self._grants:
            return kind, {"grant": self._grants.pop(dice.randrange(len(self._grants)))}
        if kind in ("grant.created", "grant.revoked"):
            return "grant.created", self._grant(who, group)
        if kind.startswith("group."):
            return kind, {"group": group, "principal": who}
        if kind.startswith("member."):
            return kind, {"member": who}
        if kind == "catalog.observed":
            return kind, self._look(dice.choice(self.servers))
        return kind, {}

    def _grant(self, who: str, group: str) -> dict[str, object]:
        self._made += 1
        name = f"grn_{self._made:06}"
        self._grants.append(name)
        to = {"grantee_kind": "member", "grantee": who}
        if self._dice.random() < 0.3:
            to = {"grantee_kind": "group", "grantee": group}
        server = self._dice.choice(self.servers)
        return {
            "grant": name,
            **to,
            "server": server,
            "tool": "",
            "level": "all",
            "expires_at": None,
            "ticket": "",
        }
