"""Streams hear exactly of what changed for them: lists by kind, and resources they wait for."""

import sys

import pytest
from tests.fakes.world import StillClock
from tests.unit.offers.shelf import observed
from tests.unit.view.rows import (
    HOUR,
    NOON,
    agent,
    grant,
    guardrail,
    member,
    server,
    tool,
    view,
)

from gatelodge.flows.catalog.offers import OfferMemory
from gatelodge.flows.gateway.streams import ListenStream, OpenStreams
from gatelodge.ports.upstream import OnBehalfOf, SessionNotification

EVERY = ("tools", "prompts", "resources")
GIT = server("srv_git", "git", tags=("prod",))
B = server("srv_b", "b")
HOUSE = (member(), member("mem_bob"), agent(), GIT, B, tool())
GRANT = grant("grn_1")
NO_READING = """@reason("no") forbid (principal, action, resource is Gatelodge::Resource);"""
ON_B = grant("grn_2", server="srv_b")


class Heard:
    """A client that writes down what it hears."""

    def __init__(self):
        self.words = []

    def changed(self, kind):
        self.words.append(kind)

    def updated(self, server, uri):
        self.words.append((server, uri))

    def said(self, method, params):
        self.words.append((method, params))
        return True

    def breathe(self):
        self.words.append("breath")

    def since(self):
        """What it heard since the last time."""
        found, self.words = self.words, []
        return found


class Node:
    """Streams with what stands around them; `swap` is what a follower does."""

    def __init__(self, *rows):
        self.clock = StillClock(NOON)
        self.view = view(*rows)
        self.offers = OfferMemory()
        self.watched = []
        self.streams = OpenStreams(self.clock, self.offers, self._subscribe, lambda: self.view)
        self.offers.on_observed(self.streams.on_observed)

    def swap(self, *rows):
        self.view = view(*rows, previous=self.view)
        self.offers.on_view(self.view)
        self.streams.on_view(self.view)

    def sees(self, alias, **said):
        """The server of that alias was looked at."""
        self.offers.keep(self.offers.read(server(f"srv_{alias}", alias), observed(**said)))

    def listen(self, principal="mem_ann", wants=EVERY, uris=(), alias="", can=b"{}"):
        ear = Heard()
        stream = ListenStream(principal, "home", alias, ear, wants, frozenset(uris), can)
        self.streams.add(stream)
        return ear, stream

    def told(self):
        """What servers were told to watch since the last time."""
        found, self.watched = self.watched, []
        return found

    def _subscribe(self, server, uris):
        self.watched.append((server, sorted(uris)))


@pytest.fixture
def node():
    return Node(*HOUSE, GRANT)


class TestLists:
    """A change is told by kind, to those for whom it is one."""

    def test_a_new_prompt_is_told_to_those_who_may_use_it(self, node):
        ann, _ = node.listen()
        far, _ = node.listen(alias="b")
        node.sees("git", prompts=["sum"])
        assert ann.since() == ["prompts"]
        node.sees("b", prompts=["sum"])
        assert ann.since() == far.since() == []

    def test_a_tool_that_turns_out_to_be_added_is_gone_for_those_who_declare_nothing(self, node):
        able, _ = node.listen(can=b'{"roots":{}}')
        unable, _ = node.listen()
        node.sees("git", added=frozenset({"log"}))
        assert (able.since(), unable.since()) == ([], ["tools"])
        node.sees("git")
        assert (able.since(), unable.since()) == ([], ["tools"])

    @pytest.mark.parametrize("said", [{"resources": ["x:1"]}, {"templates": ["x:{y}"]}])
    def test_a_new_resource_or_template_is_told_as_resources(self, node, said):
        ann, _ = node.listen()
        node.sees("git", **said)
        assert ann.since() == ["resources"]

    def test_an_item_that_reads_otherwise_is_a_change_and_the_same_again_is_none(self, node):
        node.sees("git", prompts=["a", "b"], resources=["x:1"])
        ann, _ = node.listen()
        node.sees("git", prompts=["a", "b"], resources=["x:1"], instructions="New.")
        assert ann.since() == []
        node.sees("git", prompts=["b", "a"], resources=["x:1"])
        assert ann.since() == ["prompts"]

    def test_a_stream_hears_of_the_kinds_that_it_wants_only(self, node):
        some, _ = node.listen(wants=("resources",))
        none, _ = node.listen(wants=())
        node.sees("git", prompts=["a"])
        assert some.since() == []
        node.sees("git", resources=["x:1"])
        node.swap(*HOUSE, GRANT, tool("new"))
        assert some.since() == ["resources"]
        assert none.since() == []

    def test_a_grant_and_its_end_change_all_that_the_server_has(self, node):
        node.sees("git", prompts=["a"], resources=["x:1"])
        node.sees("b", prompts=["c"])
        ann, _ = node.listen()
        bob, _ = node.listen("mem_bob", alias="git")
        node.swap(*HOUSE, GRANT, ON_B)
        assert (ann.since(), bob.since()) == (["prompts"], [])
        node.swap(*HOUSE, ON_B)
        assert (ann.since(), bob.since()) == ([*EVERY], [*EVERY])

    def test_a_guardrail_on_prompts_takes_prompts_alone(self, node):
        node.sees("git", prompts=["a"], resources=["x:1"])
        ann, _ = node.listen()
        bot, _ = node.listen("agt_bot")
        no = """@reason("no") forbid (principal is Gatelodge::Agent, action,
        resource is Gatelodge::Prompt);"""
        node.swap(*HOUSE, GRANT, guardrail(no))
        assert (ann.since(), bot.since()) == ([], ["prompts"])

    def test_a_tool_that_came_changed_or_was_taken_back_changes_tools_alone(self, node):
        ann, _ = node.listen()
        for rows in (
            [*HOUSE, tool("new")],
            [*HOUSE[:-1], tool(observed="1" * 64), tool("new")],
            [*HOUSE[:-1], tool(observed="1" * 64), tool("new", approved="")],
        ):
            node.swap(*rows, GRANT)
            assert ann.since() == ["tools"]

    def test_a_change_that_no_list_shows_is_told_to_nobody(self, node):
        ann, _ = node.listen()
        node.swap(*HOUSE[:-1], tool(open_world=False), GRANT, member("mem_new"))
        assert ann.since() == []

    def test_a_server_that_leaves_the_catalog_takes_its_lists_with_it(self, node):
        node.sees("git", prompts=["a"])
        ann, _ = node.listen()
        node.swap(*(row for row in HOUSE if row is not GIT), server(status="disabled"), GRANT)
        assert ann.since() == ["tools", "prompts"]
        assert node.offers.of("srv_git") is None
        node.swap(*HOUSE, GRANT)
        assert ann.since() == ["tools"]

    def test_a_server_without_prompts_changes_no_list_of_them(self, node):
        node.sees("b", resources=["x:1"])
        ann, _ = node.listen(wants=("prompts",))
        node.swap(*HOUSE, GRANT, ON_B)
        assert ann.since() == []

    def test_a_member_who_left_or_a_workspace_that_is_unknown_has_nothing(self, node):
        stranger = Heard()
        node.streams.add(ListenStream("mem_ann", "nowhere", "", stranger, EVERY))
        ann, _ = node.listen()
        node.sees("git", prompts=["a"])
        assert ann.since() == ["prompts"]
        node.sees("git")
        assert ann.since() == ["prompts"]
        node.swap(*HOUSE[1:], GRANT)
        assert ann.since() == ["tools"]
        assert stranger.since() == []

    def test_a_stream_that_ended_hears_nothing(self, node):
        ann, stream = node.listen()
        for _ in range(2):
            node.streams.remove(stream)
        node.sees("git", prompts=["a"])
        assert ann.since() == []
        assert len(node.streams) == 0

    def test_streams_that_know_the_same_share_it(self, node):
        node.sees("git", prompts=["a"])
        (_, one), (_, two) = node.listen(), node.listen("mem_bob")
        assert one.knows[0] is two.knows[0] is node.view.access["mem_ann"].listed
        assert one.knows[1][0] is node.offers.of("srv_git").prompts
        node.swap(*HOUSE, GRANT)
        assert one.knows is two.knows
        assert sys.getsizeof(one) < 200


class TestWaiting:
    """A resource that is waited for: the server watches it, those who may read it hear of it."""

    X1, X2 = ("srv_git", "x:1"), ("srv_git", "x:2")

    def test_a_server_watches_the_union_of_what_its_streams_wait_for(self, node):
        _, one = node.listen(uris=[self.X1])
        _, two = node.listen("mem_bob", uris=[self.X1, self.X2])
        node.streams.remove(one)
        assert node.told() == [("srv_git", ["x:1"]), ("srv_git", ["x:1", "x:2"])]
        node.streams.remove(two)
        assert node.told() == [("srv_git", [])]

    def test_an_update_reaches_those_who_wait_for_that_resource(self, node):
        one, _ = node.listen(uris=[self.X1])
        two, _ = node.listen("mem_bob", uris=[self.X2])
        node.streams.on_updated("srv_git", "x:1")
        assert (one.since(), two.since()) == ([self.X1], [])
        node.streams.on_updated("srv_b", "x:1")
        assert one.since() == []

    def test_what_may_not_be_read_is_neither_watched_nor_told(self, node):
        deaf, _ = node.listen(uris=[("srv_b", "y:1")])
        far, _ = node.listen(uris=[self.X1], alias="b")
        assert node.told() == []
        node.streams.on_updated("srv_b", "y:1")
        node.streams.on_updated("srv_git", "x:1")
        assert deaf.since() == far.since() == []

    def test_a_grant_that_comes_later_begins_it_and_its_end_ends_it(self, node):
        ear, _ = node.listen(wants=(), uris=[("srv_b", "y:1")])
        node.swap(*HOUSE, GRANT, ON_B)
        assert node.told() == [("srv_b", ["y:1"])]
        node.streams.on_updated("srv_b", "y:1")
        assert ear.since() == [("srv_b", "y:1")]
        node.swap(*HOUSE, GRANT)
        assert node.told() == [("srv_b", [])]
        node.streams.on_updated("srv_b", "y:1")
        assert ear.since() == []

    def test_access_that_was_cut_a_moment_ago_counts_at_once(self, node):
        ann, _ = node.listen(uris=[self.X1])
        bob, _ = node.listen("mem_bob", uris=[self.X1])
        node.view = node.view.without(principals=["mem_ann"])
        node.streams.on_updated("srv_git", "x:1")
        assert (ann.since(), bob.since()) == ([], [self.X1])
        node.view = node.view.without(servers=["srv_git"])
        node.streams.on_updated("srv_git", "x:1")
        assert bob.since() == []

    def test_a_resource_that_is_closed_at_this_hour_is_watched_and_not_told(self):
        shut = guardrail(
            '@reason("later") forbid (principal, action, resource is Gatelodge::Resource)'
            ' when { context.now < datetime("2026-11-22T13:00:00Z") };'
        )
        node = Node(*HOUSE, GRANT, shut)
        ear, _ = node.listen(uris=[self.X1])
        assert node.told() == [("srv_git", ["x:1"])]
        node.streams.on_updated("srv_git", "x:1")
        assert ear.since() == []
        node.clock.step(HOUR / 1_000_000)
        node.streams.on_updated("srv_git", "x:1")
        assert ear.since() == [self.X1]

    def test_a_grant_that_ran_out_ends_it_without_a_new_view(self):
        node = Node(*HOUSE, grant(expires_at=NOON + HOUR))
        ear, _ = node.listen(uris=[self.X1])
        node.clock.step(HOUR / 1_000_000)
        node.streams.on_updated("srv_git", "x:1")
        assert ear.since() == []

    def test_an_open_stream_may_wait_for_other_resources(self, node):
        ear, stream = node.listen(uris=[self.X1])
        node.streams.wait_for(stream, frozenset([self.X1, self.X2]))
        node.streams.wait_for(stream, frozenset([self.X2]))
        assert [uris for _, uris in node.told()] == [["x:1"], ["x:1", "x:2"], ["x:2"]]
        node.streams.on_updated("srv_git", "x:1")
        node.streams.on_updated("srv_git", "x:2")
        assert ear.since() == [self.X2]
        node.streams.wait_for(stream, frozenset())
        node.swap(*HOUSE, GRANT, member("mem_new"))
        assert node.told() == [("srv_git", [])]

    def test_a_stream_that_is_not_open_yet_waits_from_its_opening_on(self, node):
        stream = ListenStream("mem_ann", "home", "", Heard())
        node.streams.wait_for(stream, frozenset([self.X1]))
        assert node.told() == []
        node.streams.add(stream)
        assert node.told() == [("srv_git", ["x:1"])]

    def test_a_server_that_is_met_again_is_told_again_what_to_watch(self, node):
        node.listen(uris=[self.X1])
        node.told()
        node.sees("git")
        node.sees("b")
        assert node.told() == [("srv_git", ["x:1"])]

    def test_a_server_that_left_and_came_back_is_told_anew(self, node):
        node.listen(uris=[self.X1])
        node.swap(*(row for row in HOUSE if row is not GIT), GRANT)
        node.swap(*HOUSE, GRANT)
        assert node.told() == [("srv_git", ["x:1"]), ("srv_git", []), ("srv_git", ["x:1"])]


class TestSessions:
    """What a server says in somebody's own session: to their streams, while they may use it."""

    CAN = b'{"roots":{}}'

    def said(self, node, *used, whose="mem_ann", method="notifications/message"):
        asker = OnBehalfOf(whose, self.CAN)
        used = used or (("tools/call", "log"),)
        return node.streams.on_notification(
            SessionNotification("srv_git", asker, used, method, b'{"uri":"x:1"}')
        )

    def test_it_reaches_the_streams_of_such_a_client_of_whose_session_it_is(self, node):
        ann, _ = node.listen(can=self.CAN)
        others = [
            node.listen("mem_bob", can=self.CAN)[0],
            node.listen()[0],
            node.listen(alias="b", can=self.CAN)[0],
            node.listen(wants=(), can=self.CAN)[0],
        ]
        assert self.said(node)
        assert ann.since() == [("notifications/message", b'{"uri":"x:1"}')]
        assert [each.since() for each in others] == [[]] * 4

    def test_nobody_hears_what_may_be_about_something_that_was_taken_from_them(self, node):
        _, stream = node.listen(can=self.CAN)
        assert not self.said(node, ("tools/call", "log"), ("tools/call", "other"))
        assert self.said(node, ("tools/call", "log"), ("resources/read", ""))
        node.swap(*HOUSE, GRANT, guardrail(NO_READING))
        assert not self.said(node, ("resources/read", ""))
        assert self.said(node, ("prompts/get", ""), ("completion/complete", ""))
        node.swap(*HOUSE)
        assert not self.said(node)
        node.swap(*HOUSE, GRANT)
        node.streams.remove(stream)
        assert not self.said(node)

    def test_a_resource_is_told_to_the_owner_if_they_wait_for_it(self, node):
        ann, _ = node.listen(uris=[("srv_git", "x:1")], can=self.CAN)
        bob, _ = node.listen("mem_bob", uris=[("srv_git", "x:1")], can=self.CAN)
        idle, _ = node.listen(can=self.CAN)
        assert self.said(node, method="notifications/resources/updated")
        assert ann.since() == [("srv_git", "x:1")]
        assert bob.since() == idle.since() == []
