"""A made-up word goes in everywhere a client or a server can put one, and is then looked for."""

import base64
import json
import secrets
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fault.scene.speaking import Conversation
from tests.gate import WAIT, Gate
from tests.integration.watching.scraping import scrape
from tests.stage import Place, Servers, mirrored, modern, raw_post
from tests.upstreams.acts import Acting, text
from tests.upstreams.http_upstream import Talk
from tests.wire import Wire, until

pytestmark = pytest.mark.slow

LEAKY = Path(__file__).parents[1] / "upstreams" / "leaky_server.py"
STREAM = "application/json, text/event-stream"
ALLOWED = {
    "host", "accept", "accept-encoding", "user-agent", "content-type", "content-length",
    "mcp-protocol-version",
    "mcp-method", "mcp-name", "mcp-session-id", "last-event-id",
}  # fmt: skip
"""Every field that a server is ever sent."""
KEEPER = "keeper of containers"
PARTS = {
    LEAKY.name.encode(): "server",
    b"/runtime/process/supervisor.py": "supervisor",
    b"runtime.oci.supervisor": KEEPER,
    b"\0up\0--port": "gate",
}
"""What a command line holds of a process that may be there, and what it is."""


class Canary:
    """The word, and one of its own for what a client says that it is called."""

    def __init__(self) -> None:
        self.word = "canary" + secrets.token_hex(12)
        self.client = "finch" + secrets.token_hex(12)

    def forms(self, *words: str) -> set[bytes]:
        """The ways in which a word may stand in a file: plain, in hex, in Base64 at any offset."""
        found: set[bytes] = set()
        for word in words:
            raw = word.encode()
            found |= {raw, raw.hex().encode(), word.encode("utf-16-le")}
            for shift in range(3):
                coded = base64.b64encode(b"\0" * shift + raw)
                found.add(coded[4 if shift else 0 : -4])
        return found


class Scene:
    """A gate, its servers, a member, and the word put into all of it."""

    def __init__(self, directory: Path) -> None:
        self.canary = Canary()
        self.gate = Gate(
            directory / "gate",
            "telemetry.log_level=debug",
            "audit.sequence_ms=50",
            "limits.page_size=8",
        )
        self.servers = Servers()
        self.web = self.servers.open(Acting())
        self.old = self.servers.open(Acting(era="legacy"))
        for server in (self.web, self.old):
            server.tools |= {"refuse": self._refuse, "garbage": self._garbage, "steps": self._steps}
        self.more = Conversation(self.servers, self.canary.word)
        self.said: dict[str, str] = {}

    def play(self) -> None:
        """Everything that can be said, with the word in it."""
        self.gate.start()
        self.place = Place(self.gate, "main", self.gate.token)
        for alias, server in (("web", self.web), ("old", self.old)):
            self.place.serve(alias, server.url)
        for library in self.more.libraries:
            self.place.serve(library.era, library.url)
        command = [sys.executable, "-S", str(LEAKY)]
        transport = {"type": "stdio", "command": command, "run_as": "gateway"}
        self.place.api("POST", "/servers", {"alias": "pipe", "transport": transport})
        self.place.approve("pipe")
        every = dict.fromkeys(("web", "old", "pipe", "modern", "legacy"), "all")
        self.token = self.place.admit("ada", **every)
        self.more.play(self.place, self.token)
        self.said |= self.more.said
        self._call()
        self._misbehave()
        self._legacy()

    def _call(self) -> None:
        word, client = self.canary.word, self.place.client(self.token)
        meta = {
            "progressToken": f"{word}-progress",
            f"{word}/key": {word: word},
            "io.modelcontextprotocol/clientInfo": {"name": self.canary.client, "version": "1"},
            "traceparent": word,
        }
        tools = ("echo", "fail", "refuse", "garbage", "steps", "large", "five_hundred", "cut")
        names = [f"{alias}__{tool}" for alias in ("web", "old") for tool in tools]
        for name in [*names, "pipe__leak", f"web__{word}", word]:
            for how in ("result", "error", "death") if name == "pipe__leak" else ("",):
                given = {"as": how, word: [word, {"uri": f"file:///{word}"}]}
                body = modern("tools/call", word, name=name, arguments=given, _meta=meta)
                self.said[f"{name} {how}"] = self._send(body, "tools/call", name)
        for method in (word, "resources/read", "subscriptions/listen"):
            client.request(method, {"uri": f"x://{word}", "notifications": word, "cursor": word})
        client.request("tools/list", {"cursor": word})

    def _send(self, body: bytes, method: str, name: str) -> str:
        word = self.canary.word
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Accept": STREAM,
            "Cookie": f"session={word}",
            "User-Agent": word,
            "Referer": f"https://{word}/",
            "Mcp-Session-Id": word,
            "Last-Event-ID": word,
            "X-Forwarded-For": word,
            "X-Api-Key": word,
            "Proxy-Authorization": word,
            **mirrored(method, name),
        }
        with Wire(self.gate.port) as wire:
            sent = raw_post(f"{self.place.path}?{word}={word}", body, headers)
            return wire.send(sent).answer().body.decode()

    def _misbehave(self) -> None:
        word, client = self.canary.word, self.place.client(self.token)
        for body in (word, f'{{"{word}"', f'"{word}"', f'[{{"id":"{word}"}}]'):
            client.post(body.encode(), {"Mcp-Method": word, "X": word})
        client.post(modern("tools/list", word), {"MCP-Protocol-Version": word, "Mcp-Method": word})
        client.post(b"{}", {"content-type": word})
        client.post(b"{}", {"host": f"{word}.example.test"})
        client.post(b"{}", {"origin": f"https://{word}.example.test"})
        self.gate.client(word, self.place.path).post(b"{}")
        self.gate.client(self.token, f"/k/{word}/mcp").post(b"{}")
        self.gate.client(self.token, f"/k/main/s/{word[:14]}/mcp").call(word)
        self.gate.client("", f"{self.place.path}?access_token={self.token}").post(b"{}")
        for head in (
            f"{word} /k/main/mcp HTTP/1.1\r\n",
            f"POST /k/main/mcp HTTP/1.1\r\n{word}\r\n\r\n",
        ):
            with Wire(self.gate.port) as wire:
                wire.send(head.encode()).answer()
        with Wire(self.gate.port) as wire:
            wire.send(raw_post(self.place.path, word.encode(), {"X": word})[:-5])

    def _legacy(self) -> None:
        word = self.canary.word
        legacy = self.place.legacy(self.token)
        info = {"name": self.canary.client, "version": self.canary.client}
        legacy.request("initialize", {"protocolVersion": word, "clientInfo": info, word: word})
        self.session = legacy.session
        legacy.call("web__echo", {word: word})
        cancelled = {"requestId": word, "reason": word}
        legacy.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled})
        legacy.say({"jsonrpc": "2.0", "id": word, "result": {word: word}})
        legacy.session = word
        legacy.request("ping", {word: word})

    def _refuse(self, talk: Talk) -> None:
        word = self.canary.word
        error = {"code": -32055, "message": word, "data": {word: word}}
        talk.answer("200 OK", {"jsonrpc": "2.0", "id": talk.seen.message["id"], "error": error})

    def _garbage(self, talk: Talk) -> None:
        talk.answer("500 Oh", self.canary.word.encode(), X_Words=self.canary.word)

    def _steps(self, talk: Talk) -> None:
        token = talk.seen.message["params"].get("_meta", {}).get("progressToken")
        told = {"progressToken": token, "progress": 1, "message": self.canary.word}
        talk.stream()
        talk.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": told})
        answer = {**text(self.canary.word), "structuredContent": {"uri": f"x://{self.canary.word}"}}
        talk.event({"jsonrpc": "2.0", "id": talk.seen.message["id"], "result": answer})
        talk.end()

    def told_by_commands(self) -> dict[str, str]:
        """What the commands say that read the log and the state."""
        intents = [leaf for leaf in self.place.leaves() if leaf["t"] == "call.intent"]
        calls = [leaf["call"] for leaf in intents]
        failed = next(leaf["call"] for leaf in intents if leaf["tool"] == "fail")
        commands = [
            ("audit", "tail", "-n", "500"),
            ("audit", "search", "--limit", "500"),
            *(("audit", "show", call) for call in (calls[0], failed, calls[-1])),
            ("server", "show", "web"),
            ("server", "show", "pipe"),
            ("doctor",),
            ("debug",),
        ]
        done = {command: self.gate.command("--json", *command) for command in commands}
        told = {" ".join(command): run.stdout + run.stderr for command, run in done.items()}
        return {**told, "metrics": scrape(self.gate, local=True).text}

    def processes(self) -> dict[str, bytes]:
        """The command lines and environments of the gate and its children."""
        assert self.gate.process is not None
        found = {}
        for pid in [self.gate.process.pid, *children(self.gate.process.pid)]:
            for part in ("cmdline", "environ"):
                found[f"{pid} {part}"] = Path(f"/proc/{pid}/{part}").read_bytes()
        return found

    def files(self) -> dict[str, bytes]:
        """Every file of the data directory."""
        every = (path for path in self.gate.directory.rglob("*") if path.is_file())
        return {str(path.relative_to(self.gate.directory)): path.read_bytes() for path in every}

    def end(self) -> bytes:
        """Stop the gate; what it said on both of its outputs."""
        process = self.gate.process
        assert process is not None
        assert process.stdout is not None
        process.send_signal(signal.SIGTERM)
        out = process.stdout.read()
        assert process.wait(WAIT) == 0
        process.stdout.close()
        return out + self.gate.stderr.encode()


def children(pid: int) -> list[int]:
    direct = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, direct) for each in (child, *children(child))]


def running(processes: dict[str, bytes]) -> list[str]:
    """What runs in these processes; the whole command of what should not be there."""
    told = [held for name, held in processes.items() if name.endswith(" cmdline")]
    named = [
        next((name for part, name in PARTS.items() if part in each), each.decode()) for each in told
    ]
    if KEEPER in named:  # where this machine has containers, `doctor` started it
        named.remove(KEEPER)
    return sorted(named)


class Found:
    """Everything that the gate left or showed, gathered once."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        until(lambda: len(scene.place.leaves()) > 60)
        self.commands = scene.told_by_commands()
        gate = scene.gate.process
        assert gate is not None
        # The server that died comes back after its pause, and what `doctor` tried this machine with
        # ends.
        self.processes = until(self._settled)
        self.live = scene.files()
        self.outputs = scene.end()
        self.files = scene.files()

    def _settled(self) -> dict[str, bytes]:
        """The processes, once they are those of a gate with one server; nothing before."""
        try:
            seen = self.scene.processes()
        except OSError:  # one has ended meanwhile
            return {}
        return seen if running(seen) == ["gate", "server", "supervisor"] else {}

    def places(self) -> Iterator[tuple[str, bytes]]:
        """Where nothing of it may stand."""
        yield from ((f"live {name}", held) for name, held in self.live.items())
        yield from self.files.items()
        yield from self.processes.items()
        yield "outputs", self.outputs
        yield from ((name, told.encode()) for name, told in self.commands.items())


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    scene = Scene(tmp_path_factory.mktemp("canary"))
    try:
        scene.play()
        yield Found(scene)
    finally:
        if scene.gate.process is not None and scene.gate.process.poll() is None:
            scene.gate.kill()
        scene.servers.close()


def test_the_word_was_everywhere_before_it_was_looked_for(found: Found):
    word = found.scene.canary.word
    silent = [name for name, told in found.scene.said.items() if word not in told]
    assert silent == []
    assert word.encode() in b"".join(seen.body for seen in found.scene.web.requests)
    assert len(found.files) > 5
    assert running(found.processes) == ["gate", "server", "supervisor"]


@pytest.mark.guarantee("audit:no-payload")
def test_no_payload_is_on_disk_in_an_output_or_in_a_command(found: Found):
    forms = found.scene.canary.forms(found.scene.canary.word)
    leaked = [name for name, held in found.places() if any(form in held for form in forms)]
    assert leaked == []


@pytest.mark.guarantee("audit:no-payload")
def test_the_clients_name_is_read_from_an_opening_and_stands_nowhere_else(found: Found):
    client = found.scene.canary.client
    forms = found.scene.canary.forms(client)
    named = {name for name, held in found.places() if any(form in held for form in forms)}
    assert {name.split(" -")[0].split(" c_")[0] for name in named} == {
        "audit tail",
        "audit search",
        "audit show",
    }
    for name in named:
        told = json.loads(found.commands[name])
        records = told if isinstance(told, list) else told.get("items", [told.get("record")])
        assert {record.pop("client", "") for record in records} <= {
            "",
            f"{client}/1",
            f"{client}/{client}"[:64],
            "legacy/1",
            "old/1",
        }
        assert client not in json.dumps(records)


@pytest.mark.guarantee("secrets:stay-here")
def test_no_token_or_session_stands_anywhere(found: Found):
    scene = found.scene
    assert len(scene.more.sealed) > 8
    sealed = [part for whole in scene.more.sealed for part in (whole, whole[4:40])]
    kept = scene.canary.forms(scene.token, scene.token[5:-6], scene.session, *sealed)
    leaked = [name for name, held in found.places() if any(form in held for form in kept)]
    assert leaked == []


@pytest.mark.guarantee("secrets:stay-here")
def test_a_server_receives_nothing_of_its_caller_but_the_call(found: Found):
    scene = found.scene
    for seen in [*scene.web.requests, *scene.old.requests]:
        assert {name.lower() for name, _ in seen.headers} <= ALLOWED
        told = b" ".join(f"{name}: {value}".encode() for name, value in seen.headers)
        assert scene.canary.word.encode() not in told
        for secret in (scene.token, scene.session, f"{scene.canary.word}-progress"):
            assert secret.encode() not in told + seen.body
    for seen in (each for library in scene.more.libraries for each in library.requests):
        assert {name.lower() for name, _ in seen.headers} <= ALLOWED
        told = b" ".join(f"{name}: {value}".encode() for name, value in seen.headers)
        for secret in (scene.token, scene.session, *scene.more.sealed):
            assert secret.encode() not in told + seen.body
    sessions = {seen.header("mcp-session-id") for seen in scene.old.requests}
    assert sessions <= {None, "session-1"}
    assert {seen.header("mcp-session-id") for seen in scene.web.requests} <= {None, "session-1"}


@pytest.mark.guarantee("secrets:stay-here")
def test_a_server_that_is_a_process_is_given_no_secret_of_the_gate(found: Found):
    told = json.loads(found.scene.said["pipe__leak result"].rpartition("data: ")[2])
    environment = told["result"]["structuredContent"]
    assert not [name for name in environment if name.startswith("GATELODGE")]
    assert found.scene.token not in json.dumps(environment)
