"""What a probe is answered, and that nothing else is answered under its Host."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gate import Client, Gate
from tests.integration.watching.scraping import get
from tests.wire import Wire

PROBES = ("/healthz", "/readyz")
BESIDE = (
    "/metrics", "/api/v1/health", "/api/v1/ready", "/api/v1/debug", "/api/openapi.json", "/",
    "/healthz/", "/readyz/x", "//readyz", "/k/main/mcp", "/%68ealthz",
)  # fmt: skip
"""Paths that a foreign Host opens nothing of."""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    made = Gate(tmp_path_factory.mktemp("probes") / "data", "listen.port=0").prepared()
    with made.running():
        yield made


@pytest.mark.parametrize("path", PROBES)
@pytest.mark.parametrize("host", ["127.0.0.1:8720", "10.2.3.4:8720", "evil.example.test", ""])
def test_a_probe_is_answered_whatever_it_calls_the_gate(gate: Gate, path: str, host: str):
    answer = get(gate, path, host=host)
    assert (answer.status, answer.json) == (200, {"status": "ok"})
    told = get(gate, f"{path}?verbose=1", host=host)
    assert told.status == 400, "no parameter is known"


@pytest.mark.parametrize("path", PROBES)
def test_a_probe_without_a_host_is_answered(gate: Gate, path: str):
    with Wire(gate.port) as wire:
        answer = wire.send(b"GET %b HTTP/1.0\r\n\r\n" % path.encode()).answer()
        assert (answer.status, answer.json) == (200, {"status": "ok"})


@pytest.mark.parametrize("host", ["127.0.0.1", "10.2.3.4:8720"])
@pytest.mark.parametrize("path", PROBES)
def test_a_probe_by_head_is_answered_as_by_get_without_a_body(gate: Gate, path: str, host: str):
    told, asked = [], f"Host: {host}\r\nConnection: close\r\n\r\n"
    for verb in ("GET", "HEAD"):
        with Wire(gate.port) as wire:
            told.append(wire.send(f"{verb} {path} HTTP/1.1\r\n{asked}".encode()).rest())
    head, _, body = told[0].partition(b"\r\n\r\n")
    assert (told[1], body) == (head + b"\r\n\r\n", b'{"status":"ok"}')


@pytest.mark.parametrize(
    ("path", "status"), [("/metrics", 200), ("/api/v1/node", 200), ("/api/v1/nothing", 404)]
)
def test_whatever_is_read_by_get_can_be_asked_by_head(gate: Gate, path: str, status: int):
    client, proof = Client(gate.port, "", path), {"authorization": f"Bearer {gate.token}"}
    by_get, by_head = (client.send(verb, b"", proof) for verb in ("GET", "HEAD"))
    kinds = {answer.headers["content-type"] for answer in (by_get, by_head)}
    assert (by_get.status, by_head.status, len(kinds)) == (status, status, 1)
    assert (by_head.body, int(by_head.headers["content-length"]) > 0) == (b"", True)


def test_a_stranger_learns_no_more_by_head_than_by_get(gate: Gate):
    for path in ("/metrics", "/api/v1/node"):
        assert Client(gate.port, "", path).send("HEAD", b"", {}).status == 401


@pytest.mark.parametrize("path", BESIDE)
def test_under_a_foreign_host_nothing_else_is_answered(gate: Gate, path: str):
    for token in ("", gate.token):
        answer = get(gate, path, token, host="10.2.3.4:8720")
        assert answer.status in {403, 404}
        assert b"listen.allowed_hosts" in answer.body or answer.status == 404


@pytest.mark.parametrize("path", PROBES)
def test_what_is_no_probe_is_judged_by_its_host(gate: Gate, path: str):
    head = f"Host: evil.example.test\r\nAuthorization: Bearer {gate.token}\r\n"
    for verb, more in (("POST", "Content-Length: 2\r\n\r\n{}"), ("PUT", "\r\n")):
        with Wire(gate.port) as wire:
            sent = f"{verb} {path} HTTP/1.1\r\n{head}{more}".encode()
            assert wire.send(sent).answer(verb).status == 403, verb
    with Wire(gate.port) as wire:
        body = f"GET {path} HTTP/1.1\r\n{head}Content-Length: 60000\r\n\r\n".encode()
        assert wire.send(body).answer().status == 403


def test_a_strangers_probes_wait_for_each_other_and_end_their_connection(gate: Gate):
    """As anything that a stranger sends: one is answered, one waits, the rest is not read."""
    with Wire(gate.port) as wire:
        wire.send(b"GET /readyz HTTP/1.1\r\nHost: x.example.test\r\n\r\n" * 1000)
        told = wire.rest()
    assert 1 <= told.count(b"HTTP/1.1 200 ") <= 2
    assert get(gate, "/healthz").status == 200


@pytest.mark.slow
def test_where_the_api_has_a_port_of_its_own_the_probes_stand_there(tmp_path: Path):
    gate = Gate(tmp_path / "data", "listen.admin_port=0")
    with gate.running():
        assert get(gate, "/healthz", host="10.2.3.4").status == 404
        assert get(gate, "/readyz", local=True).json == {"status": "ok"}
