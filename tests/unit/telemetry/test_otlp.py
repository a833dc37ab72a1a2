"""What is traced is settled before anything is built; what a collector does is told in lines."""

import logging
from collections.abc import Iterator

import pytest
from msgspec import Raw
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from tests.fakes.world import StillClock
from tests.integration.tracing.collector import Collector

from gatelodge.adapters.keys.secret_refs import SecretRefs
from gatelodge.adapters.telemetry import otlp
from gatelodge.adapters.telemetry.context import read_parent, with_parent
from gatelodge.adapters.telemetry.otlp import OtlpTracer, WatchedExporter, endpoint_of
from gatelodge.adapters.telemetry.spans import SpanBudget
from gatelodge.config.schema import TelemetrySettings
from gatelodge.ports.tracing import TraceEnd

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
END = TraceEnd(outcome="ok", code=None, name="", call="c_1")


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
        (f"00-{TRACE}-{SPAN}-01-what-comes-later", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        ("", None),
    ],
)
def test_a_traceparent_is_read_as_the_standard_says(text: str, sampled: bool | None) -> None:
    parent = read_parent({"traceparent": Raw(f'"{text}"'.encode())})
    assert (None if parent is None else parent.sampled) is sampled
    if parent is not None:
        assert (f"{parent.trace:032x}", f"{parent.span:016x}") == (TRACE, SPAN)


@pytest.mark.parametrize("raw", [b"null", b"1", b"{}", b'["00"]'])
def test_what_is_no_text_is_no_traceparent(raw: bytes) -> None:
    assert read_parent({"traceparent": Raw(raw)}) is None
    assert read_parent({}) is None


def test_the_context_for_a_server_leaves_what_was_given_as_it_is() -> None:
    given = {"traceparent": Raw(b'"x"'), "tracestate": Raw(b'"a=1"'), "vendor/x": Raw(b"1")}
    before = dict(given)
    joined = with_parent(given, int(TRACE, 16), int(SPAN, 16), joined=True)
    assert joined == {**given, "traceparent": Raw(f'"00-{TRACE}-{SPAN}-01"'.encode())}
    assert "tracestate" not in with_parent(given, 1, 1, joined=False)
    assert given == before


@pytest.mark.parametrize(
    ("endpoint", "posted"),
    [
        ("http://c:4318", "http://c:4318/v1/traces"),
        ("http://c:4318/", "http://c:4318/v1/traces"),
        ("https://c/otlp/v1/traces", "https://c/otlp/v1/traces"),
    ],
)
def test_the_usual_path_is_added_where_none_is_named(endpoint: str, posted: str) -> None:
    assert endpoint_of(TelemetrySettings(traces_endpoint=endpoint)) == posted


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.fixture
def levels() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("opentelemetry", "urllib3")]
    before = [each.level for each in loggers]
    yield
    for each, level in zip(loggers, before, strict=True):
        each.setLevel(level)


@pytest.mark.slow
@pytest.mark.usefixtures("levels")
def test_while_the_collector_takes_nothing_no_more_than_the_queue_holds_is_built(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otlp, "MOST_WAITING", 10)
    monkeypatch.setattr(otlp, "_QUEUE", 12)
    monkeypatch.setattr(otlp, "_BATCH", 12)
    monkeypatch.setattr(otlp, "_EVERY_MS", 60_000)
    settings = TelemetrySettings(traces_endpoint="http://127.0.0.1:9", traces_ratio=1)
    tracer = OtlpTracer(settings, SecretRefs(), "nod_1")
    try:
        for _ in range(4):
            trace = tracer.sample("tools/call", "2026-07-28", {})
            assert trace is not None
            trace.forwarded("web", "echo", {})
            trace.replied("ok", None)
            trace.ended(END)
            trace.over()
        under_way = [tracer.sample("tools/call", "2026-07-28", {}) for _ in range(3)]
        assert [trace is None for trace in under_way] == [False, False, True]
        assert tracer._exporter.untraced == 1
        trace = under_way[0]
        assert trace is not None
        given = {"traceparent": Raw(b'"x"')}
        assert [trace.forwarded("web", "echo", given) == given for _ in range(3)] == [
            False,
            False,
            True,
        ]
        assert tracer._budget.begun == 12
    finally:
        tracer.close()


@pytest.mark.usefixtures("levels")
def test_where_opentelemetry_is_switched_off_a_server_gets_what_its_caller_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    settings = TelemetrySettings(traces_endpoint="http://127.0.0.1:9", traces_ratio=1)
    tracer = OtlpTracer(settings, SecretRefs(), "nod_1")
    try:
        given = {"traceparent": Raw(f'"00-{TRACE}-{SPAN}-01"'.encode())}
        trace = tracer.sample("tools/call", "2026-07-28", given)
        assert trace is not None
        assert trace.forwarded("web", "echo", given) == given
        trace.over()
    finally:
        tracer.close()


class Outcomes(SpanExporter):
    """Answers as it is told to."""

    good = True

    def export(self, spans) -> SpanExportResult:
        return SpanExportResult.SUCCESS if self.good else SpanExportResult.FAILURE


def test_trouble_with_the_collector_is_told_when_it_begins_and_once_it_stayed_away(
    caplog: pytest.LogCaptureFixture,
) -> None:
    inner, clock = Outcomes(), StillClock()
    budget = SpanBudget()
    exporter = WatchedExporter(inner, budget, lambda: "HTTP 503", clock.boottime)

    def batch(*, good: bool = True, seconds: float = 0.0) -> list[str]:
        inner.good = good
        clock.step(seconds)
        caplog.clear()
        exporter.export([None] * 5)  # type: ignore[list-item]
        return [each.getMessage() for each in caplog.records]

    assert batch() == []
    assert batch(good=False) == ["traces do not reach the collector whole: HTTP 503"]
    assert batch(good=False, seconds=5) == []
    assert batch(seconds=5) == []
    assert batch(good=False, seconds=3) == []
    assert batch(seconds=9) == []
    exporter.untraced += 7
    assert batch(seconds=9) == []
    again = "traces reach the collector whole again; 15 spans were lost, 7 requests untraced"
    assert batch(seconds=10) == [again]
    assert batch(seconds=10) == []
    exporter.untraced += 1
    assert batch() == ["traces do not reach the collector whole: it is too slow"]
    assert batch(seconds=10)[0].endswith("; 0 spans were lost, 1 requests untraced")
    assert budget.handed == 55


def sent_to(collector: Collector) -> None:
    """One span, sent before this returns."""
    settings = TelemetrySettings(traces_endpoint=collector.url, traces_ratio=1)
    tracer = OtlpTracer(settings, SecretRefs(), "nod_1")
    trace = tracer.sample("ping", "2026-07-28", {})
    assert trace is not None
    trace.over()
    tracer.close()


@pytest.mark.usefixtures("levels")
@pytest.mark.parametrize("status", [300, 301, 307, 308, 400, 404])
def test_a_collector_that_takes_nothing_is_told_whatever_it_answers(
    caplog: pytest.LogCaptureFixture, collector: Collector, status: int
) -> None:
    collector.status = status
    sent_to(collector)
    said = [each.getMessage() for each in caplog.records]
    assert said == [f"traces do not reach the collector whole: HTTP {status}"]
    assert collector.paths == ["/v1/traces"]


@pytest.mark.usefixtures("levels")
def test_of_what_a_collector_answers_little_is_read(collector: Collector) -> None:
    collector.pieces = 1_000
    sent_to(collector)
    collector.close()
    assert collector.written < collector.pieces
    assert collector.bodies
