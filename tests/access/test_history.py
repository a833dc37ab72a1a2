"""What somebody could use is told as intervals, whose edges name what began and ended them."""

import msgspec
import pytest
from tests.access.test_fold import raw_leaves
from tests.access.year import Year, decisions

from gatelodge.core.access.folded_rows import read_gov_leaf
from gatelodge.core.access.history import AccessHistory
from gatelodge.core.instant import parse_rfc3339
from gatelodge.core.view import compile_view


def history_of(leaves, principal, until, compiled=compile_view):
    """The intervals of a principal by these leaves, each with the latest time up to it."""
    told = AccessHistory(principal, compiled)
    for index, (leaf, at) in enumerate(leaves):
        told.take(leaf, index, at)
    return told.intervals(until)


def timed(leaves):
    latest = 0
    for body in leaves:
        leaf = read_gov_leaf(body)
        latest = max(latest, parse_rfc3339(leaf.at))
        yield leaf, latest


def usable(intervals, at):
    return {
        (each.server, each.tool): each.rule
        for each in intervals
        if each.began.at <= at and (each.ended is None or at < each.ended.at)
    }


@pytest.mark.parametrize("seed", [5, 6])
def test_the_intervals_are_what_each_moment_says(house, seed):
    year = Year(house, seed).live(150)
    leaves = raw_leaves(house)
    people = [row.id for row in (*year.states[-1].members, *year.states[-1].agents)]
    some = year.dice.sample(people, 6)
    told = {who: history_of(timed(leaves), who, house.clock.now()) for who in some}
    assert any(told.values())
    for at in year.moments(60):
        # Several leaves of one moment are one change: what holds is what holds after them.
        stored = decisions(year.at(at), at)
        for who in some:
            allowed = {
                (server, tool): rule
                for (_, kind, principal, server, tool), ((word, _, rule), depends) in stored.items()
                if (kind, principal, word) == ("tools", who, "Allow") and not depends
            }
            found = usable(told[who], at)
            assert allowed.items() <= found.items(), (who, at)
            timely = {
                (server, tool)
                for (_, kind, principal, server, tool), (_, depends) in stored.items()
                if (kind, principal) == ("tools", who) and depends
            }
            assert set(found) <= set(allowed) | timely, (who, at)


def test_an_edge_names_the_change_or_the_expiry(house):
    year = Year(house, 8).live(200)
    leaves = raw_leaves(house)
    edges = []
    for row in year.states[-1].members:
        for each in history_of(timed(leaves), row.id, house.clock.now()):
            edges += [each.began, each.ended]
    kinds = {edge.kind for edge in edges if edge is not None}
    assert {"grant.created", "grant.revoked"} <= kinds, kinds
    assert kinds & {"expiry", "member.suspended", "server.disabled", "tool.blocked"}, kinds
    for edge in edges:
        if edge is not None and edge.kind not in ("expiry", "time"):
            leaf = read_gov_leaf(leaves[edge.index])
            assert (leaf.t, leaf.by) == (edge.kind, edge.by)


class Told:
    """A gov log that is written by hand, leaf by leaf; `day` is when."""

    def __init__(self):
        self.leaves = []
        self.tell("workspace.created", 1, slug="main")
        self.tell("member.added", 1, member="mem_1", role="member")
        self.tell("server.registered", 1, server="srv_1", alias="s1", tags=[])
        self.tell("server.approved", 1, server="srv_1")
        self.tell("catalog.observed", 1, server="srv_1", tools={"find": "d1"}, gone=[])
        self.judge("tool.approved", 1)

    def tell(self, kind, day, home="wsp_1", by="local", why="", **subject):
        at = f"2027-01-{day:02}T00:00:00Z"
        leaf = {"t": kind, "at": at, "by": by, "workspace": home, "why": why, "subject": subject}
        self.leaves.append(msgspec.json.encode(leaf))

    def judge(self, kind, day):
        self.tell(kind, day, server="srv_1", tool="find", def_sha256="d1")

    def grant(self, name, day, expires=None):
        until = None if expires is None else f"2027-01-{expires:02}T00:00:00Z"
        to = {"grantee_kind": "member", "grantee": "mem_1"}
        what = {"server": "srv_1", "tool": "", "level": "all", "expires_at": until, "ticket": ""}
        self.tell("grant.created", day, grant=name, **to, **what)

    def forbid(self, day, when):
        text = f'@reason("no") forbid (principal, action, resource) when {{ {when} }};'
        rule = {"guardrail": "grd_1", "digest": "x", "mode": "enforce"}
        self.tell("guardrail.published", day, text=text, **rule)

    def intervals(self, until=31):
        now = parse_rfc3339(f"2027-01-{until:02}T00:00:00Z")
        return [
            (each.began.kind, each.began.at, each.ended and each.ended.kind)
            for each in history_of(timed(self.leaves), "mem_1", now)
        ]


def day(number):
    return parse_rfc3339(f"2027-01-{number:02}T00:00:00Z")


def test_what_expired_before_a_tool_was_let_go_again_gave_nothing_to_use():
    told = Told()
    told.judge("tool.blocked", 2)
    told.grant("grn_1", 3, expires=10)
    told.grant("grn_2", 3, expires=15)
    told.judge("tool.unblocked", 20)
    told.judge("tool.approved", 25)
    assert told.intervals() == []


def test_access_that_a_later_grant_gave_does_not_begin_with_an_earlier_expiry():
    told = Told()
    told.grant("grn_1", 3, expires=10)
    told.grant("grn_2", 20)
    told.judge("tool.approved", 25)
    assert told.intervals() == [
        ("grant.created", day(3), "expiry"),
        ("grant.created", day(20), None),
    ]


def test_what_another_workspace_does_begins_and_ends_nothing_here():
    told = Told()
    told.forbid(2, 'context.now < datetime("2027-01-10")')
    told.grant("grn_1", 3)
    other = {"home": "wsp_2", "by": "mem_9", "why": "THEIRS-1"}
    told.tell("workspace.created", 12, **other, slug="other")
    told.tell("server.registered", 12, **other, server="srv_9", alias="s9", tags=[])
    told.judge("tool.approved", 20)
    assert told.intervals() == [("time", day(20), None)]


def test_what_time_alone_has_ended_is_told_as_ended():
    told = Told()
    told.grant("grn_1", 3)
    told.forbid(4, 'context.now > datetime("2027-01-10")')
    assert told.intervals(until=9) == [("grant.created", day(3), None)]
    assert told.intervals(until=12) == [("grant.created", day(3), "time")]


def test_what_is_done_to_other_people_compiles_nothing_anew():
    told = Told()
    told.grant("grn_1", 3)
    compiled = []

    def count(state, previous):
        compiled.append(state.gov)
        return compile_view(state, previous)

    history_of(timed(told.leaves), "mem_1", day(31), count)
    alone = len(compiled)
    for number in range(20):
        told.tell("member.added", 4, member=f"mem_x{number}", role="member")
        to = {"grantee_kind": "member", "grantee": f"mem_x{number}", "expires_at": None}
        what = {"server": "srv_1", "tool": "", "level": "all", "ticket": ""}
        told.tell("grant.created", 4, grant=f"grn_x{number}", **to, **what)
        told.tell("grant.revoked", 5, grant=f"grn_x{number}")
    compiled.clear()
    (found,) = history_of(timed(told.leaves), "mem_1", day(31), count)
    assert (found.began.at, found.ended, len(compiled)) == (day(3), None, alone)
