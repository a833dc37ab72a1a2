"""A generated history of a house: people join, move and leave, rules and catalogs change.

Each change goes through the real flows; the whole state after each is kept, to compare with.
"""

import json
from bisect import bisect_right
from random import Random

from gatelodge.core.access.matrix import matrix
from gatelodge.core.catalog.server import HttpTransport, Server, Tool
from gatelodge.core.errors import HouseError
from gatelodge.core.people import Agent, Group, Member
from gatelodge.core.policy.decision import Deny
from gatelodge.core.policy.guardrails import validate
from gatelodge.core.policy.rules import Grant, Guardrail
from gatelodge.core.view import compile_view
from gatelodge.flows.admin import (
    agents,
    grants,
    groups,
    guardrails,
    members,
    pins,
    servers,
    tools,
    workspaces,
)

ROLES = ("security", "admin", "auditor", "member", "member", "member")
LEVELS = ("read", "use", "use", "all")
NAMES = ("find", "list", "send", "drop", "pay")
FORBIDS = (
    "forbid (principal, action, resource) when {{ resource.destructive }};",
    'forbid (principal in Gatelodge::Group::"{group}", action, resource);',
    'forbid (principal, action, resource == Gatelodge::Tool::"{alias}/{tool}");',
    'forbid (principal, action, resource) when {{ context.now < datetime("2027-03-01") }};',
    'forbid (principal is Gatelodge::Agent, action, resource in Gatelodge::Server::"{alias}");',
    "forbid (principal, action, resource) unless {{ resource.pinned }};",
)


class Year:
    """What happened in a house (`tests/unit/admin/conftest.py`), change by change."""

    def __init__(self, house, seed):
        self.house = house
        self.dice = Random(seed)
        self.begins = house.clock.now()
        self.times = [self.begins]
        self.states = [self._state()]
        self.done = {}
        self._count = 0

    def live(self, changes, seconds=365 * 86_400):
        """So many changes within so many seconds; what the rules refuse is tried and left."""
        for _ in range(changes):
            self.house.clock.step(self.dice.uniform(0, 2 * seconds / changes))
            change = self.dice.choice(_CHANGES)
            try:
                change(self)
            except (HouseError, IndexError):
                continue
            self.done[change.__name__] = self.done.get(change.__name__, 0) + 1
            self.times.append(self.house.clock.now())
            self.states.append(self._state())
        return self

    def at(self, moment):
        """The state of the store at that moment."""
        return self.states[bisect_right(self.times, moment) - 1]

    def moments(self, count):
        """So many instants, some of them those of changes, one microsecond before or after."""
        for _ in range(count):
            if self.dice.random() < 0.3:
                yield self.dice.choice(self.times[1:]) + self.dice.choice((-1, 0, 1))
            else:
                yield self.dice.randint(self.begins, self.house.clock.now())

    def _state(self):
        return self.house._portal.call(self.house.store.load, None, None)

    def _one(self, noun, **equals):
        return self.dice.choice(self._all(noun, **equals))

    def _all(self, noun, **equals):
        return self.house.find(noun, workspace=self.house.workspace, **equals)

    def _name(self, prefix):
        self._count += 1
        return f"{prefix}{self._count}"

    def _do(self, change, *given, **named):
        return self.house.do(change, self.house.workspace, *given, **named)

    def join(self):
        self.house.member(self._name("m"), self.dice.choice(ROLES))

    def move(self):
        self._do(members.set_role, self._one(Member).id, self.dice.choice(ROLES))

    def rest(self):
        self._do(members.suspend, self._one(Member, role="member").id)

    def come_back(self):
        self._do(members.resume, self._one(Member, status="suspended").id)

    def leave(self):
        leaver = self._one(Member, role="member", status="active").id
        heir = self._one(Member, status="active").id if self.dice.random() < 0.5 else None
        self._do(members.revoke, leaver, transfer_to=heir)

    def make_agent(self):
        self._do(agents.add, self._name("a"), self._one(Member, status="active").id)

    def change_agent(self):
        agent = self._one(Agent).id
        way = self.dice.choice((agents.suspend, agents.resume, agents.revoke))
        if self.dice.random() < 0.5:
            self._do(agents.transfer, agent, self._one(Member, status="active").id)
        else:
            self._do(way, agent)

    def make_group(self):
        self._do(groups.create, self._name("g"))

    def join_group(self):
        who = self._one(self.dice.choice((Member, Agent)), status="active")
        kind = "member" if isinstance(who, Member) else "agent"
        principal = who.email if kind == "member" else who.name
        self._do(groups.add_member, self._one(Group).id, principal)

    def leave_group(self):
        self._do(groups.remove_member, self._one(Group).id, self._one(Member).email)

    def end_group(self):
        if self.dice.random() < 0.2:
            self._do(groups.remove, self._one(Group).id)

    def add_server(self):
        alias = f"s{self.dice.randint(1, 5)}"
        to = HttpTransport(url=f"https://{alias}.example.com/mcp")
        tags = tuple(self.dice.sample(("prod", "pii"), self.dice.randint(0, 2)))
        made = self._do(servers.register, alias, servers.ServerProposal(transport=to, tags=tags))
        self._look(made.id)
        self._do(servers.approve, made.id)

    def change_server(self):
        server = self._one(Server).id
        way = self.dice.choice((servers.enable, servers.disable, servers.enable, servers.remove))
        self._do(way, server)

    def look(self):
        self._look(self._one(Server).id)

    def _look(self, server):
        names = self.dice.sample(NAMES, self.dice.randint(1, len(NAMES)))
        told = [self._definition(name) for name in names]
        self._do(tools.take_stock, server, told)

    def _definition(self, name):
        more = {"description": self.dice.choice(("x", "x", "x", "another"))}
        if self.dice.random() < 0.3:
            # Looks are no drift: what is shown differs, its use does not.
            more["icons"] = [{"src": f"https://x.example.com/{self.dice.randint(1, 3)}.png"}]
        return json.dumps({"name": name, "inputSchema": {"type": "object"}, **more}).encode()

    def approve_tools(self):
        server = self._one(Server).id
        here = self._all(Tool, server=server)
        self._do(pins.approve, server, {t.name: t.observed for t in here if not t.blocked})

    def block(self):
        tool = self._one(Tool)
        self._do(pins.block, tool.server, tool.name)

    def unblock(self):
        tool = self._one(Tool, blocked=True)
        self._do(pins.unblock, tool.server, (tool.name,))

    def review(self):
        tool = self._one(Tool)
        found = pins.ToolFinding(
            digest=tool.observed,
            read_only=self.dice.random() < 0.5,
            destructive=self.dice.random() < 0.5,
            open_world=self.dice.random() < 0.5,
        )
        self._do(pins.review, tool.server, {tool.name: found})

    def grant(self):
        server = self._one(Server).id
        to = self.dice.choice(
            (
                {"everyone": True},
                {"member": self._one(Member, status="active").id},
                {"agent": (self._all(Agent, status="active") or [self._one(Member)])[0].id},
                {"group": (self._all(Group) or [self._one(Member)])[0].id},
            )
        )
        words = {"server": server, "level": self.dice.choice(LEVELS)}
        if self.dice.random() < 0.3:
            words["tool"] = self._one(Tool, server=server).name
        if self.dice.random() < 0.4:
            words["for_seconds"] = self.dice.randint(60, 60 * 86_400)
        self._do(grants.create, **to, **words)

    def revoke_grant(self):
        self._do(grants.revoke, self._one(Grant).id)

    def forbid(self):
        text = self.dice.choice(FORBIDS).format(
            group=self._one(Group).name, alias=self._one(Server).alias, tool=self._one(Tool).name
        )
        mode = self.dice.choice(("enforce", "enforce", "observe"))
        draft = guardrails.GuardrailDraft(
            name=self._name("rule"), text=f'@reason("no")\n{text}', mode=mode
        )
        self._do(guardrails.publish, draft, validate)

    def allow_again(self):
        row = self._one(Guardrail)
        self._do(guardrails.retire, row.id)

    def another_workspace(self):
        if self.dice.random() < 0.1:
            name = self._name("w")
            self.house.do(workspaces.create, self.house.peppers, name, name, f"{name}@example.com")


_CHANGES = (
    [Year.join] * 4
    + [Year.join_group] * 5
    + [Year.grant] * 8
    + [Year.look, Year.approve_tools, Year.review] * 4
    + [
        Year.move,
        Year.rest,
        Year.come_back,
        Year.leave,
        Year.make_agent,
        Year.make_agent,
        Year.change_agent,
        Year.make_group,
        Year.leave_group,
        Year.end_group,
        Year.add_server,
        Year.add_server,
        Year.change_server,
        Year.block,
        Year.unblock,
        Year.revoke_grant,
        Year.forbid,
        Year.allow_again,
        Year.another_workspace,
    ]
)


def decisions(state, at):
    """Every decision of that state at that moment: what is said of whom and what, and the rule."""
    return decisions_of_view(compile_view(state, None), at)


def decisions_of_view(view, at):
    """The same, of a view."""
    found = {}
    for workspace in view.workspaces.values():
        for kind in ("tools", "prompts", "resources"):
            for cell in matrix(view, workspace, at, kind=kind):
                place = (workspace.slug, kind, cell.principal, cell.server, cell.tool)
                found[place] = (word_of(cell.decision), cell.conditional)
    return found


def word_of(decision):
    """A decision without the texts that people read: kind, reason and rule."""
    kind = type(decision).__name__
    reason = decision.reason if isinstance(decision, Deny) else ""
    return kind, reason, decision.rule
