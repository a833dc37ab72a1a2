"""What stands in the two spans of a request, however it ends."""

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gatelodge.adapters.telemetry.spans import SpanBudget, SpanTrace
from gatelodge.ports.tracing import TraceEnd


class Taken:
    """A trace whose spans stay here."""

    def __init__(self, method: str = "tools/call") -> None:
        self._memory = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._memory))
        tracer, budget = provider.get_tracer("t"), SpanBudget()
        self.trace = SpanTrace(tracer, method, "2026-07-28", None, budget=budget, most=10)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those that ended, in that order."""
        return list(self._memory.get_finished_spans())


def end(outcome: str = "ok", code: int | None = None, name: str = "web__echo") -> TraceEnd:
    return TraceEnd(outcome=outcome, code=code, name=name, call="c_1")


@pytest.mark.parametrize(
    ("code", "told", "failed"),
    [
        (-32_602, "-32602", False),
        (-32_603, "-32603", True),
        (-32_000, "-32000", True),
        (-32_099, "-32099", True),
        (-32_100, "-32100", False),
        (4_010, "4010", False),
    ],
)
def test_of_the_gates_errors_those_of_a_server_count_as_failed(
    code: int, told: str, failed: bool
) -> None:
    taken = Taken()
    taken.trace.ended(end("rpc_error", code))
    (gate,) = taken.spans
    assert gate.attributes is not None
    assert gate.attributes["error.type"] == gate.attributes["rpc.response.status_code"] == told
    assert (not gate.status.is_unset) is failed


def test_a_code_that_is_a_message_is_not_told() -> None:
    taken = Taken()
    taken.trace.forwarded("web", "echo", {})
    taken.trace.replied("rpc_error", 10**40)
    taken.trace.ended(end("rpc_error", 10**40))
    exchange, gate = taken.spans
    for span, kind in ((exchange, "rpc_error"), (gate, "_OTHER")):
        assert span.attributes is not None
        assert span.attributes["error.type"] == kind
        assert "rpc.response.status_code" not in span.attributes


def test_a_request_that_broke_off_ends_its_spans_as_failed_and_once() -> None:
    taken = Taken()
    taken.trace.forwarded("web", "echo", {})
    taken.trace.over()
    taken.trace.over()
    taken.trace.ended(end())
    taken.trace.replied("ok", None)
    assert [span.name for span in taken.spans] == ["tools/call echo", "tools/call"]
    assert [dict(s.attributes or {})["error.type"] for s in taken.spans] == ["_OTHER"] * 2
    assert not any(span.status.is_unset for span in taken.spans)


@pytest.mark.parametrize("outcome", ["cancelled", "client_gone"])
def test_a_server_whose_caller_left_did_not_fail(outcome: str) -> None:
    taken = Taken()
    taken.trace.forwarded("web", "echo", {})
    taken.trace.replied(outcome, None)
    (exchange,) = taken.spans
    assert exchange.status.is_unset
    assert dict(exchange.attributes or {})["error.type"] == outcome


def test_asking_a_server_anew_is_an_exchange_of_its_own() -> None:
    taken = Taken()
    first = taken.trace.forwarded("web", "echo", {})
    second = taken.trace.forwarded("web", "echo", {})
    assert first != second
    taken.trace.replied("ok", None)
    taken.trace.ended(end())
    assert [s.name for s in taken.spans] == ["tools/call echo"] * 2 + ["tools/call web__echo"]
    assert len({span.context.trace_id for span in taken.spans if span.context}) == 1


@pytest.mark.parametrize("method", ["resources/read", "completion/complete", "tasks/get"])
def test_only_tools_and_prompts_are_named(method: str) -> None:
    taken = Taken(method)
    taken.trace.forwarded("web", "secret-name", {})
    taken.trace.replied("ok", None)
    taken.trace.ended(end(name="secret-name"))
    assert {span.name for span in taken.spans} == {method}
    assert "secret-name" not in "".join(span.to_json() for span in taken.spans)
