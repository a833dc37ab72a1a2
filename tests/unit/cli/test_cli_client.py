import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import pytest

from gatelodge.cli.client import GateClient, LocalSocket, RemoteGate, path_of, token_from
from gatelodge.config.schema import Settings
from gatelodge.core import errors

TOKEN = "gtlp_" + "a" * 49


class Answering(BaseHTTPRequestHandler):
    """Answers by path; tells what it was asked."""

    asked: list[tuple[str, str, str | None, bytes]]

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        type(self).asked.append((self.command, self.path, self.headers["authorization"], body))
        if self.path.startswith("/api/v1/moved"):
            self._send(307, b"", ("location", "/api/v1/elsewhere"))
        elif self.path.startswith("/api/v1/html"):
            self._send(200, b"<html>")
        elif self.path.startswith("/api/v1/refused"):
            told = {"code": "error.refused.conflict", "detail": "taken", "remedy": "choose"}
            self._send(409, msgspec.json.encode(told))
        elif self.path.startswith("/api/v1/list"):
            last = "cursor=" in self.path
            page = {"items": [{"n": 2 if last else 1}], "next": "" if last else "x"}
            self._send(200, msgspec.json.encode(page))
        else:
            self._send(200, b'{"fine":true}')

    do_POST = do_GET  # noqa: N815
    do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_given: object) -> None:
        return

    def address_string(self) -> str:
        return "local"

    def _send(self, status: int, body: bytes, *fields: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class OverUnix(socketserver.UnixStreamServer):
    pass


@pytest.fixture
def answering() -> type[Answering]:
    return type("Once", (Answering,), {"asked": []})


@pytest.fixture
def remote(answering: type[Answering]) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(5)


def test_a_token_travels_in_a_header_only(remote: str, answering: type[Answering]) -> None:
    gate = GateClient(RemoteGate(remote, TOKEN), "main")
    assert gate.post(gate.here("members"), {"email": "a@b.c"}) == {"fine": True}
    method, path, authorization, body = answering.asked[0]
    assert (method, path) == ("POST", "/api/v1/workspaces/main/members")
    assert authorization == f"Bearer {TOKEN}"
    assert TOKEN not in path + body.decode()


@pytest.mark.parametrize("below", ["/gate", "/gate/", "/a/b"])
def test_a_gate_below_a_path_is_asked_below_that_path(
    below: str, remote: str, answering: type[Answering]
) -> None:
    GateClient(RemoteGate(remote + below, TOKEN), "main").get("/node")
    assert answering.asked[0][1] == f"{below.rstrip('/')}/api/v1/node"


def test_a_redirect_is_not_followed(remote: str, answering: type[Answering]) -> None:
    with pytest.raises(errors.GateUnreachable):
        GateClient(RemoteGate(remote, TOKEN), "main").get("/moved")
    assert len(answering.asked) == 1


def test_a_token_is_never_sent_in_the_clear_to_another_machine() -> None:
    with pytest.raises(errors.Invalid) as caught:
        RemoteGate("http://gate.example.com", TOKEN)
    assert TOKEN not in str(caught.value)


def test_what_the_gate_refused_is_raised_as_it_was_there(remote: str) -> None:
    with pytest.raises(errors.Conflict) as caught:
        GateClient(RemoteGate(remote, ""), "main").get("/refused")
    assert (caught.value.detail, caught.value.remedy) == ("taken", "choose")


def test_something_that_is_no_gate_is_told_so(remote: str) -> None:
    with pytest.raises(errors.GateUnreachable, match="is not a gate's"):
        GateClient(RemoteGate(remote, ""), "main").get("/html")


def test_nobody_listening_is_unreachable() -> None:
    with pytest.raises(errors.GateUnreachable) as caught:
        GateClient(RemoteGate("http://127.0.0.1:1", TOKEN), "main").get("/node")
    assert TOKEN not in caught.value.detail


def test_lists_are_read_to_their_end(remote: str) -> None:
    assert [each["n"] for each in GateClient(RemoteGate(remote, ""), "main").every("/list")] == [
        1,
        2,
    ]


def test_a_running_node_is_found_by_its_socket_even_at_a_long_path(
    tmp_path: Path, answering: type[Answering]
) -> None:
    data = tmp_path / ("d" * 120)
    (data / "run").mkdir(parents=True)
    settings = Settings(data_dir=str(data))
    assert LocalSocket.found(settings) is None
    short = tmp_path / "s"
    with OverUnix(str(short), answering) as server:
        short.rename(data / "run" / "admin.sock")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        way = LocalSocket.found(settings)
        assert way is not None
        assert GateClient(way, "main").get("/node") == {"fine": True}
        server.shutdown()
        thread.join(5)
    assert LocalSocket.found(settings) is None


def test_a_token_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o644)
    with pytest.raises(errors.Invalid) as caught:
        token_from(file)
    assert "chmod 600" in caught.value.remedy
    file.chmod(0o600)
    assert token_from(file) == TOKEN


def test_a_query_says_each_number_and_leaves_out_what_was_not_said(
    remote: str, answering: type[Answering]
) -> None:
    gate = GateClient(RemoteGate(remote, ""), "main")
    gate.get("/node", after=0, limit=5, every=True, none=None, empty="", off=False)
    assert answering.asked[0][1] == "/api/v1/node?after=0&limit=5&every=true"


def test_names_are_encoded_into_paths() -> None:
    assert path_of("members", "a/b?c@d.e") == "/members/a%2Fb%3Fc@d.e"


def test_a_password_in_the_url_is_refused_and_not_shown() -> None:
    with pytest.raises(errors.Invalid) as caught:
        RemoteGate("https://bob:s3cret@gate.example.com", "")
    assert "s3cret" not in caught.value.detail + caught.value.remedy


@pytest.mark.parametrize("odd", ["\n", "\r\nx: y", " ", "\x7f", "é"])
def test_a_token_that_is_no_single_word_is_refused_and_not_shown(odd: str) -> None:
    with pytest.raises(errors.Invalid) as caught:
        RemoteGate("https://gate.example.com", f"s3cret{odd}s3cret")
    assert "s3cret" not in caught.value.detail + caught.value.remedy


class HangingUp(Answering):
    """Takes a request and answers nothing."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.close_connection = True

    do_POST = do_GET  # noqa: N815
    do_DELETE = do_GET  # noqa: N815


def test_a_change_that_was_sent_and_not_answered_is_told_as_perhaps_done(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with HTTPServer(("127.0.0.1", 0), HangingUp) as tcp, OverUnix(str(path), HangingUp) as unix:
        threads = [threading.Thread(target=each.serve_forever) for each in (tcp, unix)]
        for each in threads:
            each.start()
        ways = (RemoteGate(f"http://127.0.0.1:{tcp.server_port}", ""), LocalSocket(path))
        told = [_unanswered(way, verb) for way in ways for verb in ("post", "delete", "get")]
        tcp.shutdown()
        unix.shutdown()
        for each in threads:
            each.join(5)
    assert ["may have been done" in each.detail for each in told] == [True, True, False] * 2
    assert all("audit changes" in each.remedy for each in told[:2])
    for way in (RemoteGate("http://127.0.0.1:1", ""), LocalSocket(tmp_path / "none")):
        assert "may have been done" not in _unanswered(way, "post").detail


def _unanswered(way: RemoteGate | LocalSocket, verb: str) -> errors.GateUnreachable:
    with pytest.raises(errors.GateUnreachable) as caught:
        getattr(GateClient(way, "main"), verb)("/members")
    return caught.value
