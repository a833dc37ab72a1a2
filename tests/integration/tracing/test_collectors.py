"""Who decides that a request is traced; and a collector that fails does nothing to a call."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.gate import Client, Gate
from tests.integration.tracing.collector import Collector
from tests.stage import Stage
from tests.upstreams.acts import Acting
from tests.wire import until

pytestmark = pytest.mark.slow

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNTRACED = "00-1111111111111111111111111111111c-b7ad6b7169203331-00"
BEGIN = "traces do not reach the collector whole"


class Traced:
    """A gate with these settings, its server, and a client of it."""

    def __init__(self, directory: Path, *sets: str, **env: str) -> None:
        self.stage = Stage(directory / "gate", *sets)
        self.gate = self.stage.gate
        self.gate.env |= env
        self.web = self.stage.servers.open(Acting())
        self.client: Client

    def sent_on(self) -> dict[str, object]:
        """The `_meta` with which the last call reached its server."""
        meta: dict[str, object] = self.web.of("tools/call")[-1].message["params"]["_meta"]
        return meta

    def calls(self, **meta: str) -> None:
        """Make a call that comes back."""
        given = {"name": "web__echo", "arguments": {}, "_meta": meta}
        assert "content" in self.client.request("tools/call", given).json["result"]


@contextmanager
def traced(directory: Path, *sets: str, **env: str) -> Iterator[Traced]:
    made = Traced(directory, *sets, **env)
    try:
        with made.gate.running():
            place = made.stage.place("traced")
            place.serve("web", made.web.url)
            made.client = place.client(place.admit("ada", web="all"))
            until(lambda: "web__echo" in made.client.tools())
            yield made
    finally:
        made.stage.servers.close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    try:
        yield made
    finally:
        made.close()


def test_no_caller_has_its_requests_traced_beyond_the_ratio(
    tmp_path: Path, collector: Collector
) -> None:
    sets = (f"telemetry.traces_endpoint={collector.url}", "telemetry.traces_ratio=0")
    with traced(tmp_path, *sets) as scene:
        scene.calls(traceparent=CALLER, tracestate="vendor=x")
        meta = scene.sent_on()
        assert (meta["traceparent"], meta["tracestate"]) == (CALLER, "vendor=x")
        scene.calls()
        assert "traceparent" not in scene.sent_on()
        assert scene.gate.stop() == 0
    assert collector.bodies == []


def test_callers_decide_where_the_gate_is_told_to_follow_them(
    tmp_path: Path, collector: Collector
) -> None:
    sets = (
        f"telemetry.traces_endpoint={collector.url}/custom/traces",
        "telemetry.traces_ratio=0",
        "telemetry.traces_follow_callers=true",
    )
    with traced(tmp_path, *sets) as scene:
        scene.calls(traceparent=UNTRACED)
        assert scene.sent_on()["traceparent"] == UNTRACED
        scene.calls()
        scene.calls(traceparent=CALLER)
        assert scene.gate.stop() == 0
    assert {span.trace for span in collector.spans} == {CALLER[3:35]}
    assert set(collector.paths) == {"/custom/traces"}


def without(directory: Path, name: str) -> str:
    """A folder for PYTHONPATH in which this distribution is not installed."""
    (directory / "shadow").mkdir()
    away = f"raise ModuleNotFoundError('No module named {name}', name={name!r})\n"
    (directory / "shadow" / f"{name}.py").write_text(away)
    return str(directory / "shadow")


def test_a_gate_that_is_asked_for_no_traces_needs_no_extra_and_passes_their_context_on(
    tmp_path: Path,
) -> None:
    with traced(tmp_path, PYTHONPATH=without(tmp_path, "opentelemetry")) as scene:
        scene.calls(traceparent=CALLER, tracestate="vendor=x")
        meta = scene.sent_on()
        assert (meta["traceparent"], meta["tracestate"]) == (CALLER, "vendor=x")


def test_a_collector_that_is_down_costs_one_line_and_no_call(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        sets = (
            f"telemetry.traces_endpoint=http://127.0.0.1:{port}",
            "telemetry.traces_ratio=1",
            "telemetry.log_level=debug",
        )
        with traced(tmp_path, *sets) as scene:
            scene.calls()
            until(lambda: BEGIN in scene.gate.stderr, why="nobody said so")
            for _ in range(20):
                scene.calls()
            _stops_soon(scene.gate)
        lines = [line for line in scene.gate.stderr.splitlines() if "trace" in line.lower()]
        assert [line.partition("warning ")[2] for line in lines] == [f"{BEGIN}: no answer"]


def test_a_collector_that_never_answers_holds_up_neither_a_call_nor_the_stop(
    tmp_path: Path, collector: Collector
) -> None:
    collector.status = 0
    sets = (f"telemetry.traces_endpoint={collector.url}", "telemetry.traces_ratio=1")
    with traced(tmp_path, *sets) as scene:
        scene.calls()
        until(lambda: collector.bodies, why="nothing was sent")
        for _ in range(20):
            scene.calls()
        _stops_soon(scene.gate)


def _stops_soon(gate: Gate) -> None:
    began = time.monotonic()
    assert gate.stop() == 0
    assert time.monotonic() - began < 10


def test_the_collectors_secret_is_read_where_it_lies_and_shown_nowhere(
    tmp_path: Path, collector: Collector
) -> None:
    secret, place = "s3cret-" + "x" * 20, tmp_path / "otlp"
    place.write_text(f"Bearer {secret}\n")
    place.chmod(0o600)
    sets = (
        f"telemetry.traces_endpoint={collector.url}",
        "telemetry.traces_ratio=1",
        f"telemetry.traces_headers=Authorization:file:{place},X-Key:env:OTLP_KEY,X-Org:text:north",
        "telemetry.log_level=debug",
    )
    with traced(tmp_path, *sets, OTLP_KEY=secret) as scene:
        scene.calls()
        until(lambda: collector.headers)
        seen = collector.headers[0]
        assert seen["authorization"] == f"Bearer {secret}"
        assert (seen["x-key"], seen["x-org"]) == (secret, "north")
        place.write_text("Bearer another\n")
        scene.calls()
        until(lambda: collector.headers[-1]["authorization"] == "Bearer another")
        collector.status = 401
        scene.calls()
        until(lambda: f"{BEGIN}: HTTP 401" in scene.gate.stderr, why="nobody said so")
        place.unlink()
        shown = str(scene.gate.cli("config", "show"))
        assert f"file:{place}" in shown
        assert secret not in shown + scene.gate.stderr


@pytest.mark.parametrize("missing", ["opentelemetry", "requests"])
def test_without_the_extra_the_gate_says_what_to_install_and_makes_nothing(
    tmp_path: Path, collector: Collector, missing: str
) -> None:
    gate = Gate(
        tmp_path / "gate",
        f"telemetry.traces_endpoint={collector.url}",
        PYTHONPATH=without(tmp_path, missing),
    )
    ended = gate.command("up", "--port", "0")
    assert ended.returncode == 2
    assert "pip install 'gatelodge[otel]'" in ended.stdout + ended.stderr
    looked = gate.command("--json", "doctor")
    assert looked.returncode == 1
    assert "pip install 'gatelodge[otel]'" in looked.stdout
    assert not (gate.directory / "gatelodge.db").exists()


def test_a_secret_that_is_not_there_is_named_before_anything_is_made(
    tmp_path: Path, collector: Collector
) -> None:
    gate = Gate(
        tmp_path / "gate",
        f"telemetry.traces_endpoint={collector.url}",
        "telemetry.traces_headers=Authorization:env:NOT_SET_ANYWHERE",
    )
    ended = gate.command("up", "--port", "0")
    assert ended.returncode == 4
    assert "env:NOT_SET_ANYWHERE is not set" in ended.stdout + ended.stderr
    assert not (gate.directory / "gatelodge.db").exists()
