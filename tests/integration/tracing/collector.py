"""A collector of traces in the test's own process: OTLP over HTTP, by OpenTelemetry's schema."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.wire import until

SERVER, CLIENT = 2, 3
"""Kinds of spans."""
FAILED = 2
"""The status of a span that failed."""


@dataclass
class Seen:
    """One span as it came."""

    name: str
    kind: int
    trace: str
    span: str
    parent: str
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any]

    @property
    def call(self) -> str:
        return str(self.attributes.get("gatelodge.call", ""))


@dataclass
class Collector:
    """Answers each batch with `status`, or (0) not at all until it is closed.

    The answer has `pieces` of 64 KiB, of which it counts those that were `written`.
    """

    status: int = 200
    pieces: int = 0
    written: int = 0
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.released = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._receiver())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def _receiver(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Receiver(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.paths.append(self.path)
                collector.headers.append({k.lower(): v for k, v in self.headers.items()})
                collector.bodies.append(body)
                if not collector.status:
                    collector.released.wait()
                    self.close_connection = True
                    return
                self.send_response(collector.status)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", str(collector.pieces << 16))
                self.end_headers()
                with suppress(ConnectionError):
                    for _ in range(collector.pieces):
                        self.wfile.write(bytes(1 << 16))
                        collector.written += 1

            def log_message(self, *_said: object) -> None:
                return

        return Receiver

    @property
    def spans(self) -> list[Seen]:
        """Every span that came so far."""
        return [span for body in tuple(self.bodies) for span in _spans(body)]

    def trace_of(self, call: str) -> list[Seen]:
        """Every span of the trace to which this call belongs, the gate's own first; waited for."""

        def mine() -> list[Seen]:
            spans = self.spans
            traces = {span.trace for span in spans if span.call == call}
            found = [span for span in spans if span.trace in traces]
            return sorted(found, key=lambda span: span.kind)

        return until(mine, why=f"no trace of {call}")

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _spans(body: bytes) -> Iterator[Seen]:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    for group in request.resource_spans:
        resource = _plain(group.resource.attributes)
        for span in (span for scope in group.scope_spans for span in scope.spans):
            assert not span.events
            assert not span.links
            assert not span.trace_state
            assert not span.status.message
            yield Seen(
                span.name,
                span.kind,
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                span.status.code,
                _plain(span.attributes),
                resource,
            )


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
