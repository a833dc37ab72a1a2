"""A legacy client whose roots changed says so, and its own sessions with servers hear it."""

from tests.integration.attacks.scene import BOTH, Old
from tests.stage import Stage
from tests.upstreams.library import Library
from tests.wire import until

CHANGED = "notifications/roots/list_changed"
TELLS = {"roots": {"listChanged": True}}


def test_changed_roots_are_told_in_the_sessions_of_the_client_that_said_so(stage: Stage):
    place = stage.place("roots")
    server = stage.servers.open(Library(era="legacy"))
    place.serve("lib", server.url)
    ada, eve = (place.admit(name, lib="all") for name in ("ada", "eve"))
    told = Old(place, ada, can=TELLS)
    others = [
        Old(place, eve, can=TELLS),
        Old(place, ada, can={"roots": {}}),
        Old(place, ada, can={}),
    ]
    for number, client in enumerate((told, *others)):
        assert client.call("lib__echo", {"number": number}, accept=BOTH).status == 200
    carried = {
        seen.message["params"]["arguments"]["number"]: seen.header("Mcp-Session-Id")
        for seen in server.of("tools/call")
    }
    assert len(set(carried.values())) == 4
    before = len(place.leaves())
    for client in (*others[1:], told):
        note = {"jsonrpc": "2.0", "method": CHANGED}
        assert client.say(note).status == 202
    (heard,) = until(lambda: server.of(CHANGED))
    assert heard.header("Mcp-Session-Id") == carried[0]
    assert server.sessions[carried[0]] == TELLS
    assert [leaf["method"] for leaf in place.since(before)] == [CHANGED] * 3
