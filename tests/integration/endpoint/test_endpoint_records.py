"""Each request at the socket leaves its records, once: what was sent and what is written agree."""

import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.gate import Answer, Client
from tests.leaves import Calls
from tests.stage import Place, Stage, mirrored, modern, raw_post
from tests.upstreams.acts import Acting
from tests.wire import until

from gatelodge.core.tokens import mint

BODY = modern("tools/list")
LIST = mirrored("tools/list")
FORBID = '@reason("not here") forbid (principal, action, resource == Gatelodge::Tool::"{}/fail");'


def sums(leaves: list[dict]) -> Counter[str]:
    """How many refused credentials are counted, by reason."""
    found: Counter[str] = Counter()
    for leaf in leaves:
        if leaf["t"] == "auth.failed":
            found[leaf["reason"]] += leaf["count"]
    return found


@pytest.fixture(scope="module")
def place(stage: Stage) -> Place:
    return stage.place("credentials")


@pytest.fixture(scope="module")
def bad(stage: Stage, place: Place) -> dict[str, tuple[str | None, str]]:
    """Authorization fields, each with the reason that is counted for it."""
    ada = place.admit("ada")
    gone = place.api("POST", "/tokens", {"member": "ada@example.test"})
    late = place.api("POST", "/tokens", {"member": "ada@example.test"})
    place.api("POST", f"/tokens/{gone['id']}/revoke", {"why": "lost"})
    expire(stage, late["id"])
    place.admit("bob")  # a change, so that credentials are read again
    other = stage.place("elsewhere").token
    letters = ada[5:12].swapcase()
    return {
        "none": (None, "missing"),
        "empty": ("", "missing"),
        "another scheme": (f"Basic {ada}", "scheme"),
        "no scheme": (ada, "scheme"),
        "no token": ("Bearer", "scheme"),
        "no token's shape": ("Bearer opensesame", "malformed"),
        "odd bytes": ("Bearer \xff\xfe", "malformed"),
        "two tokens": (f"Bearer {ada} {ada}", "malformed"),
        "a wrong checksum": (f"Bearer {ada[:5]}{letters}{ada[12:]}", "malformed"),
        "never issued": (f"Bearer {mint('personal', b'n' * 32)}", "unknown"),
        "revoked": (f"Bearer {gone['token']}", "ended"),
        "expired": (f"Bearer {late['token']}", "expired"),
        "another workspace's": (f"Bearer {other}", "other_workspace"),
    }


@pytest.mark.guarantee("audit:every-request-once")
def test_each_bad_credential_is_answered_alike_and_counted_exactly(stage: Stage, place: Place, bad):
    before = sums(place.leaves())
    sent: Counter[str] = Counter()
    answers = set()
    for times in (1, 4):
        for field, reason in bad.values():
            for _ in range(times):
                answers.add(knock(stage, place.path, field))
                sent[reason] += 1
    assert {status for status, _, _ in answers} == {401}
    assert len({body for _, _, body in answers}) == 1
    assert {challenge for _, challenge, _ in answers} == {
        'Bearer realm="gatelodge"',
        'Bearer realm="gatelodge", error="invalid_token"',
    }
    until(lambda: sums(place.leaves()) - before == sent, 5, "the counts never agree")


def test_whose_old_token_came_is_told_to_its_own_workspace_alone(stage: Stage, place: Place, bad):
    made = place.api("POST", "/tokens", {"member": "bob@example.test"})
    place.api("POST", f"/tokens/{made['id']}/revoke", {"why": "lost"})
    field = f"Bearer {made['token']}"
    other = stage.place("beside")
    before, elsewhere = len(place.leaves()), len(other.leaves())
    assert knock(stage, place.path, field)[0] == 401
    assert knock(stage, other.path, field)[0] == 401
    told = [leaf for leaf in place.leaves()[before:] if leaf.get("credential") == made["id"]]
    assert [(leaf["t"], leaf["reason"], leaf["count"]) for leaf in told] == [
        ("auth.failed", "ended", 1)
    ]
    assert all(not leaf.get("credential") for leaf in other.leaves()[elsewhere:])
    found = place.api("GET", f"/audit/records?credential={made['id']}&type=auth.failed")["items"]
    assert [each["credential"] for each in found] == [made["id"]]
    assert made["token"] not in str(told)


def test_a_workspace_that_is_not_there_is_answered_as_one_that_is_anothers(stage: Stage, bad):
    before = sums(stage.unrouted())
    (field, _) = bad["another workspace's"]
    for one in (field, None, "Bearer opensesame"):
        told = {knock(stage, f"/k/{slug}/mcp", one) for slug in ("credentials", "nowhere")}
        assert len(told) == 1
        bare = {knock(stage, f"/k/{w}/s/up/mcp", one) for w in ("credentials", "nowhere")}
        assert bare == told
    wanted = Counter(other_workspace=2, missing=2, malformed=2)
    until(lambda: sums(stage.unrouted()) - before == wanted, 5, "the counts never agree")


def knock(stage: Stage, path: str, field: str | None) -> tuple[int, str, bytes]:
    headers = {} if field is None else {"authorization": field}
    client = Client(stage.gate.port, "", path)
    answer = client.post(BODY, {**LIST, **headers})
    # Whether the body had come when the head was judged, and the connection can go on, is chance.
    chance = ("www-authenticate", "connection")
    kept = {k: v for k, v in answer.headers.items() if k not in chance}
    assert kept == {"content-type": "application/json", "content-length": str(len(answer.body))}
    return answer.status, answer.headers["www-authenticate"], answer.body


def expire(stage: Stage, token: str) -> None:
    """Put a token's end into the past, where only a year of waiting would."""
    connection = sqlite3.connect(stage.gate.directory / "gatelodge.db", timeout=20)
    with connection:
        changed = connection.execute("UPDATE credentials SET expires_at=1 WHERE id=?", (token,))
        assert changed.rowcount == 1
    connection.close()


def test_each_record_of_a_session_names_its_client_whatever_connection_it_came_over(stage: Stage):
    place = stage.place("named")
    token = place.admit("ada")
    client = place.legacy(token)
    of_session = {"authorization": f"Bearer {token}", "mcp-session-id": client.session}
    lines = "".join(f"{name}: {value}\r\n" for name, value in of_session.items())
    with stage.wire() as wire:
        wire.send(f"GET {place.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode())
        assert wire.head().status == 200
        assert client.say({"jsonrpc": "2.0", "id": 1, "result": {}}).status == 202
        assert client.request("tools/list", {}).status == 200
        assert client.send("DELETE", b"", of_session).status == 200
    found = place.api("GET", "/audit/tail?limit=50")["items"]
    named = {item["method"] or item["type"]: item["client"] for item in found if item["who"]}
    wanted = ("initialize", "stream.opened", "response", "tools/list", "session/end")
    assert named == dict.fromkeys(wanted, "legacy/1")


class Crowd:
    """Clients that do everything a client may do, each counting what it should leave."""

    def __init__(self, stage: Stage, place: Place, token: str) -> None:
        self.stage = stage
        self.place = place
        self.token = token
        self.client = place.client(token)
        self.legacy = place.legacy(token)
        self.wanted: Counter[str] = Counter()

    def call(self, tool: str, outcome: str) -> Answer:
        self.wanted[f"outcome {outcome}"] += 1
        return self.client.call(tool, {"x": 1})

    def hang_up(self, tool: str, executed) -> None:
        """Leave once the server has the call."""
        before = executed(tool)
        body = modern("tools/call", name=tool, arguments={}, _meta={"progressToken": 1})
        with self.stage.wire() as wire:
            headers = {"Authorization": f"Bearer {self.token}", **mirrored("tools/call", tool)}
            wire.send(raw_post(self.place.path, body, headers))
            until(lambda: executed(tool) > before)
            if tool.endswith("open"):
                assert wire.head().headers["content-type"] == "text/event-stream"
                assert b"progress" in wire.event()
        self.wanted["outcome client_gone"] += 1

    def pipeline_and_leave(self, times: int) -> None:
        with self.stage.wire() as wire:
            headers = {"Authorization": f"Bearer {self.token}", **LIST}
            wire.send(raw_post(self.place.path, BODY, headers) * times)
        self.wanted["lists"] += times


@pytest.mark.guarantee("audit:every-request-once")
def test_everything_that_clients_do_reconciles_with_the_log(stage: Stage):
    place = stage.place("crowd")
    server = stage.servers.open(Acting())
    place.serve("up", server.url)
    crowd = Crowd(stage, place, place.admit("ada", up="all"))
    ident = place.api("GET", "/servers/up")["id"]
    place.api("POST", "/guardrails", {"name": "no-fail", "text": FORBID.format(ident)})
    until(lambda: "up__fail" not in crowd.client.tools())
    before = len(place.leaves())

    def executed(tool: str) -> int:
        return server.executed.count(tool.removeprefix("up__"))

    run = [
        *[lambda: crowd.call("up__echo", "ok")] * 12,
        *[lambda: crowd.call("up__hang", "timeout")] * 3,
        *[lambda: crowd.call("up__refuse", "rpc_error")] * 4,
        *[lambda: crowd.call("up__cut", "upstream_protocol")] * 4,
        *[lambda: crowd.call("up__large", "blocked_response")] * 2,
        *[lambda: counted(crowd, "call.denied", crowd.client.call("up__fail"))] * 3,
        *[lambda: counted(crowd, "call.denied", crowd.client.call("up__nothing"))] * 5,
        *[lambda: counted(crowd, "lists", crowd.client.request("tools/list", {}))] * 6,
        *[lambda: counted(crowd, "ping", crowd.legacy.request("ping", {}))] * 6,
        *[lambda: counted(crowd, "initialize", crowd.place.legacy(crowd.token))] * 2,
        *[lambda: counted(crowd, "malformed_json", crowd.client.post(b"{", LIST))] * 5,
        *[lambda: counted(crowd, "header_mismatch", crowd.client.post(BODY))] * 5,
        *[lambda: knocked(crowd)] * 7,
        *[lambda: crowd.pipeline_and_leave(20)] * 3,
        *[lambda: streamed(crowd)] * 3,
        lambda: crowd.hang_up("up__open", executed),
    ]  # fmt: skip
    with ThreadPoolExecutor(12) as pool:
        for done in [pool.submit(one) for one in run]:
            done.result()
    crowd.hang_up("up__hang", executed)
    until(lambda: reconciled(place, before) == crowd.wanted, 5, "the log and the clients differ")
    calls = Calls(place.leaves()[before:])
    calls.is_paired()
    assert not calls.unresolved
    assert calls.late == 0


def counted(crowd: Crowd, kind: str, *_: object) -> None:
    crowd.wanted[kind] += 1


def knocked(crowd: Crowd) -> None:
    assert Client(crowd.client.port, "", crowd.place.path).post(BODY, LIST).status == 401
    crowd.wanted["auth.failed"] += 1


def streamed(crowd: Crowd) -> None:
    body = modern("subscriptions/listen", notifications={"toolsListChanged": True})
    headers = {"Authorization": f"Bearer {crowd.token}", **mirrored("subscriptions/listen")}
    with crowd.stage.wire() as wire:
        assert wire.send(raw_post(crowd.place.path, body, headers)).head().status == 200
    crowd.wanted["stream.opened"] += 1
    crowd.wanted["stream.closed"] += 1


def reconciled(place: Place, before: int) -> Counter[str]:
    """What the log says, in the clients' words. Intents are counted by what closed them."""
    found: Counter[str] = Counter()
    for leaf in place.leaves()[before:]:
        match leaf["t"]:
            case "call.outcome":
                found[f"outcome {leaf['outcome']}"] += 1
            case "auth.failed":
                found["auth.failed"] += leaf["count"]
            case "request.answered" if leaf["method"] != "tools/list":
                found[leaf["method"]] += 1
            case "request.refused" if leaf["reason"] != "client_gone":
                found[leaf["reason"]] += 1
            case "request.answered" | "request.refused":
                found["lists"] += 1
            case "call.denied" | "stream.opened" | "stream.closed":
                found[leaf["t"]] += 1
    return found
