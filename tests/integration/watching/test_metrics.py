"""The numbers of `/metrics`: they say what the log says, to whom it is theirs, and name nobody."""

import re
import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.watching.scraping import OPENMETRICS, Scrape, get, scrape
from tests.leaves import Calls
from tests.stage import Place, Stage, mirrored, modern, raw_post
from tests.upstreams.acts import Acting
from tests.wire import until

from gatelodge.web.telemetry.families import FAMILIES

pytestmark = pytest.mark.slow


class Scene:
    """Two workspaces on one gate, a server, people of two roles, and a word put into all of it."""

    def __init__(self, directory: Path) -> None:
        self.word = "canary" + secrets.token_hex(8)
        self.stage = Stage(directory / "gate")
        self.web = self.stage.servers.open(Acting())
        self.web.definitions.append({"name": self.word, "inputSchema": {"type": "object"}})

    def play(self) -> None:
        self.gate = self.stage.gate
        self.place, self.other = self.stage.place("seen"), self.stage.place("beside")
        self.place.serve("web", self.web.url)
        self.tokens = {role: self.token(self.place, role) for role in ("auditor", "admin")}
        self.tokens["security"] = self.token(self.place, "security")
        self.tokens["owner"] = self.place.token
        self.tokens["member"] = self.place.admit(f"{self.word}-ada", web="all")
        until(lambda: "web__echo" in self.place.client(self.tokens["member"]).tools())
        self.said()

    def token(self, place: Place, role: str) -> str:
        email = f"{self.word}-{role}@example.test"
        place.api("POST", "/members", {"email": email, "role": role})
        return str(place.api("POST", "/tokens", {"member": email})["token"])

    def said(self) -> None:
        """Calls of every kind of outcome, denials, refusals, and tokens that are none."""
        client = self.place.client(self.tokens["member"])
        for tool in ("echo", "echo", "fail", "refuse", "garbage", self.word):
            client.call(f"web__{tool}", {self.word: [self.word]})
        for tool in ("web__nothing", self.word):
            client.call(tool, {self.word: self.word})
        for uri in (f"web+file:///{self.word}", self.word):
            client.request("resources/read", {"uri": uri})
        client.request(self.word, {})
        for body in (b"{", self.word.encode()):
            client.post(body, {"Mcp-Method": self.word})
        for token in ("", self.word, self.word):
            self.gate.client(token, self.place.path).post(b"{}")
        self.gate.client("", f"/k/{self.word}/mcp").post(b"{}")
        get(self.gate, f"/{self.word}", host=f"{self.word}.example.test")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("watched"))
    try:
        with made.stage.gate.running():
            made.play()
            yield made
    finally:
        made.stage.servers.close()


def counted(leaves: list[dict], t: str, field: str) -> Counter[str]:
    """How many requests the records of this type stand for, by one of their fields."""
    found: Counter[str] = Counter()
    for leaf in leaves:
        if leaf["t"] == t:
            found[leaf[field]] += leaf.get("count", 1)
    return found


SERIES = [
    ("gatelodge_calls_total", "outcome", "call.outcome"),
    ("gatelodge_calls_denied_total", "reason", "call.denied"),
    ("gatelodge_requests_refused_total", "reason", "request.refused"),
    ("gatelodge_requests_answered_total", "outcome", "request.answered"),
    ("gatelodge_sign_ins_failed_total", "reason", "auth.failed"),
]


@pytest.mark.parametrize(("name", "field", "t"), SERIES, ids=[row[2] for row in SERIES])
def test_each_counter_is_the_number_of_records_in_the_log(
    scene: Scene, name: str, field: str, t: str
):
    def agree() -> Counter[str] | None:
        told = scrape(scene.gate, local=True).by(name, field, workspace="seen")
        return told if told and told == counted(scene.place.leaves(), t, field) else None

    found = until(agree, 10, f"{name} and the log never agree")
    assert sum(found.values()) > 1


def test_what_reached_no_workspace_is_counted_without_one(scene: Scene):
    def agree() -> bool:
        told, leaves = scrape(scene.gate, local=True), scene.stage.unrouted()
        failed = told.by("gatelodge_sign_ins_failed_total", "reason", workspace="")
        refused = told.by("gatelodge_requests_refused_total", "reason", workspace="")
        return (
            bool(failed)
            and failed == counted(leaves, "auth.failed", "reason")
            and refused == counted(leaves, "request.refused", "reason")
        )

    until(agree, 10, "the numbers and the log of unrouted requests never agree")


def test_the_durations_are_those_of_the_records(scene: Scene):
    told = scrape(scene.gate, local=True)
    endings = Calls(scene.place.leaves()).closers
    mine = {"workspace": "seen", "server": "web"}
    many, total = (
        told.number(f"gatelodge_call_duration_seconds_{part}", **mine) for part in ("count", "sum")
    )
    assert many == len(endings)
    assert total == pytest.approx(sum(leaf["ms"] for leaf in endings) / 1000)
    within = told.by("gatelodge_call_duration_seconds_bucket", "le", **mine)
    for le, found in within.items():
        assert found == sum(leaf["ms"] <= float(le) * 1000 for leaf in endings)


def test_the_operator_sees_every_workspace_and_an_auditor_their_own(scene: Scene):
    assert scrape(scene.gate, local=True).workspaces == {"", "main", "seen", "beside"}
    for role in ("owner", "security", "admin", "auditor"):
        told = scrape(scene.gate, scene.tokens[role])
        assert told.number("gatelodge_log_signed_leaves", kind="gov", workspace="")
        assert told.workspaces == {"", "seen"}
        assert not told.by("gatelodge_sign_ins_failed_total", "reason", workspace="")
        assert told.number("gatelodge_node_ready") == 1
        assert (told.number("process_resident_memory_bytes") or 0) > 1 << 20


def test_nobody_else_reads_them(scene: Scene):
    for token, status in ((scene.tokens["member"], 403), ("", 401), ("nonsense", 401)):
        answer = get(scene.gate, "/metrics", token)
        assert answer.status == status
        assert b"gatelodge_" not in answer.body
    bot = {"name": "bot", "owner": f"{scene.word}-ada@example.test"}
    scene.place.api("POST", "/agents", bot)
    assert get(scene.gate, "/metrics", scene.place.token_for(agent="bot")).status == 403
    foreign = get(scene.gate, "/metrics", scene.tokens["auditor"], host="10.0.0.7:8720")
    assert foreign.status == 403


def test_everybody_reads_them_where_a_setting_says_so(tmp_path: Path):
    gate = Gate(tmp_path / "gate", "telemetry.open_metrics=true", "audit.sequence_ms=50")
    with gate.running():
        for token in ("", "nonsense", gate.token):
            told = scrape(gate, token)
            assert told.number("gatelodge_node_ready") == 1
            assert told.number("gatelodge_listen_streams", workspace="main") == 0
        gate.client("", "/k/main/mcp").post(b"{}")
        name, labels = "gatelodge_sign_ins_failed_total", {"workspace": "main", "reason": "missing"}
        until(lambda: scrape(gate).number(name, **labels) == 1, why="it is a second old at most")
        assert get(gate, "/metrics", host="elsewhere.example.test").status == 403


@pytest.mark.parametrize("accept", ["", "text/plain", "*/*", OPENMETRICS, "application/json,x;;=,"])
def test_it_is_openmetrics_for_whoever_asks_for_that(scene: Scene, accept: str):
    told = scrape(scene.gate, local=True, accept=accept)
    kind = "application/openmetrics-text" if accept == OPENMETRICS else "text/plain"
    assert told.answer.headers["content-type"].startswith(f"{kind}; version=")
    assert told.text.endswith("# EOF\n") is (accept == OPENMETRICS)
    ours = {name: kind for name, kind in told.kinds.items() if name.startswith("gatelodge_")}
    infos = {"info": "gauge"} if accept != OPENMETRICS else {}
    named = {each.name + "_info" * (each.kind in infos): each.kind for each in FAMILIES}
    assert ours == {name: infos.get(kind, kind) for name, kind in named.items()}


@pytest.mark.guarantee("audit:no-payload")
@pytest.mark.guarantee("secrets:stay-here")
def test_no_person_token_tool_uri_or_payload_stands_in_them(scene: Scene):
    text = scrape(scene.gate, local=True).text
    tools = {tool["name"] for tool in scene.web.definitions}
    values = set(re.findall(r'="([^"]*)"', text))
    assert scene.word not in text
    assert values & (tools | set(scene.tokens.values())) == set()
    assert not re.search(r"@|://|\b(mem|agt|crd|srv|wsp|grp|nod)_|\bc_[\w-]{22}|gtl[a-z]_", text)


def test_what_is_under_way_is_counted_and_let_go(scene: Scene):
    web = scene.web
    web.released.clear()
    mine = {"workspace": "seen", "server": "web"}

    def under_way() -> tuple[float | None, ...]:
        told = scrape(scene.gate, local=True)
        return (
            told.number("gatelodge_calls_in_flight", **mine),
            told.number("gatelodge_server_pending_requests", **mine),
            told.number("gatelodge_listen_streams", workspace="seen"),
        )

    with scene.stage.wire() as call, scene.stage.wire() as stream:
        call.send(_sent(scene, "tools/call", name="web__wait", arguments={}))
        stream.send(_sent(scene, "subscriptions/listen", notifications={}))
        stream.head()
        until(lambda: under_way() == (1, 1, 1), why="a call and a stream")
        told = scrape(scene.gate, local=True)
        assert (told.number("gatelodge_client_connections", kind="known") or 0) >= 2
        assert told.by("gatelodge_servers", "state", workspace="seen")["ready"] == 1
        assert told.number("gatelodge_server_ready", **mine) == 1
        web.released.set()
        assert call.answer().status == 200
    until(lambda: under_way() == (0, 0, 0), why="all of it is over")


def _sent(scene: Scene, method: str, **params: object) -> bytes:
    headers = {
        "Authorization": f"Bearer {scene.tokens['member']}",
        "Accept": "application/json, text/event-stream",
        **mirrored(method, str(params.get("name", ""))),
    }
    return raw_post(scene.place.path, modern(method, 1, **params), headers)


def test_a_server_that_is_away_is_not_ready(scene: Scene):
    gone = scene.stage.servers.open(Acting())
    scene.other.serve("gone", gone.url)

    def ready(told: Scrape) -> float | None:
        return told.number("gatelodge_server_ready", workspace="beside", server="gone")

    until(lambda: ready(scrape(scene.gate, local=True)) == 1, why="it is met")
    scene.stage.servers.stop(gone)
    until(lambda: ready(scrape(scene.gate, local=True)) == 0, why="it is lost")
    states = scrape(scene.gate, local=True).by("gatelodge_servers", "state", workspace="beside")
    assert states["ready"] == 0
    assert sum(states.values()) == 1
