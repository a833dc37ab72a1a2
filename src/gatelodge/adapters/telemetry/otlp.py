"""Spans over OTLP/HTTP, sent by a thread of their own: a collector never holds a call up.

What waits for the collector is bounded. While it takes nothing requests are not traced at all, so
that nothing is built which would be thrown away; one line says when that begins, one when it ends.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

import gatelodge
from gatelodge.adapters.telemetry.context import read_parent
from gatelodge.adapters.telemetry.spans import SpanBudget, SpanTrace
from gatelodge.config.schema import TelemetrySettings
from gatelodge.core.errors import KeyUnreachable
from gatelodge.core.protocol.envelope import Members
from gatelodge.ports.world import SecretResolver

log = logging.getLogger(__name__)

MOST_WAITING = 2_000
"""Spans under way, those included that wait for the collector; with so many of them no further
request is traced."""
QUIET_SECONDS = 10.0
"""For so long the collector must take everything before it is said to."""
_QUEUE = 2 * MOST_WAITING
_BATCH = 256
_EVERY_MS = 1_000
_SEND_SECONDS = 5.0
_CLOSE_SECONDS = 2.0
_PATH = "/v1/traces"
_ANSWER_BYTES = 64 * 1024
_ELSEWHERE = range(300, 400)
"""Answers that are no failure to the exporter, though nothing was taken; it follows none of them.
"""
_TALKATIVE = ("opentelemetry", "urllib3")
"""Loggers of libraries that tell of each batch which fails, with words that came from outside."""


class CollectorSession(requests.Session):
    """The connection to the collector; `why` says how the last request failed."""

    def __init__(self, settings: TelemetrySettings, secrets: SecretResolver) -> None:
        super().__init__()
        self._secrets = secrets
        self._headers = header_pairs(settings)
        self.why = ""
        # Asked at each request: a secret that was replaced is read anew. It also keeps the
        # credentials of a ~/.netrc out, which are nobody's setting.
        self.auth = self._authorized

    def send(self, request: requests.PreparedRequest, **given: Any) -> requests.Response:
        """Send it. Raises RequestException where it was not taken and the exporter would not know.

        Of what the collector says nothing is needed: a little is read, which keeps the connection.
        """
        # Streamed: `requests` would else read an answer of whatever length into memory.
        response = super().send(request, **{**given, "stream": True})
        with response:
            self.why = f"HTTP {response.status_code}"
            if response.status_code in _ELSEWHERE:
                raise requests.RequestException(response=response)
            # Not decoded, since a short answer that is compressed may stand for a long one.
            response.raw.read(_ANSWER_BYTES, decode_content=False)
        return response

    def _authorized(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        self.why = "no answer"
        try:
            for name, value in self._headers:
                request.headers[name] = self._secrets.resolve(value)
        except KeyUnreachable as fault:
            self.why = fault.detail
            raise
        return request


class WatchedExporter(SpanExporter):
    """Hands batches on and says when they begin, or cease, to be lost.

    Used by the thread that sends; `untraced` is counted by the event loop.
    """

    def __init__(
        self,
        inner: SpanExporter,
        budget: SpanBudget,
        why: Callable[[], str],
        now: Callable[[], float],
    ) -> None:
        self._inner, self._budget, self._why, self._now = inner, budget, why, now
        self.untraced = 0
        self._lost = 0
        self._seen = self._whole = 0
        """How many were untraced at the last batch, and when all was last well."""
        self._trouble_at: float | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; a failed one is lost."""
        try:
            result = self._inner.export(spans)
        finally:
            # Also when it raises: what is never handed on would count against the budget for ever.
            self._budget.handed += len(spans)
        untraced = self.untraced
        if result is not SpanExportResult.SUCCESS:
            self._lost += len(spans)
            self._troubled(self._why())
        elif untraced != self._seen:
            self._troubled("it is too slow")
        elif self._trouble_at is not None and self._now() - self._trouble_at >= QUIET_SECONDS:
            log.warning(
                "traces reach the collector whole again; %d spans were lost, %d requests untraced",
                self._lost,
                untraced - self._whole,
            )
            self._trouble_at, self._lost, self._whole = None, 0, untraced
        self._seen = untraced
        return result

    def _troubled(self, why: str) -> None:
        if self._trouble_at is None:
            log.warning("traces do not reach the collector whole: %s", why)
        self._trouble_at = self._now()

    def shutdown(self) -> None:
        """Send nothing more, and give up what is being sent."""
        self._inner.shutdown()


class OtlpTracer:
    """The port `Tracer`: a share of the requests, decided before anything is built."""

    def __init__(self, settings: TelemetrySettings, secrets: SecretResolver, node: str) -> None:
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        session = CollectorSession(settings, secrets)
        inner = OTLPSpanExporter(
            endpoint=endpoint_of(settings),
            timeout=_SEND_SECONDS,
            compression=Compression.NoCompression,
            session=session,
        )
        self._budget = SpanBudget()
        self._exporter = WatchedExporter(inner, self._budget, lambda: session.why, time.monotonic)
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=_QUEUE,
            schedule_delay_millis=_EVERY_MS,
            max_export_batch_size=_BATCH,
        )
        about = {
            "service.name": settings.traces_service,
            "service.version": gatelodge.__version__,
            "service.instance.id": node,
        }
        # What comes here was chosen before the SDK built anything (decision 0024); and the gate
        # closes it within a time of its own, so the SDK does nothing at exit.
        provider = TracerProvider(ALWAYS_ON, Resource(about), shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("gatelodge", gatelodge.__version__)
        self._ratio, self._follows = settings.traces_ratio, settings.traces_follow_callers

    def sample(self, method: str, version: str, meta: Members) -> SpanTrace | None:
        """Begin the trace of a request, or None (hot path)."""
        wanted = random.random() < self._ratio  # noqa: S311 - a share, not a secret
        parent = None
        # What is not wanted is read no further, and has cost one random number (decision 0024).
        if wanted or self._follows:
            parent = read_parent(meta)
            # Else the flag counts nothing: a client chooses it, and could fill the collector.
            if self._follows and parent is not None:
                wanted = parent.sampled
        if not wanted:
            return None
        if not self._budget.holds(MOST_WAITING):
            self._exporter.untraced += 1
            return None
        return SpanTrace(self._tracer, method, version, parent, budget=self._budget, most=_QUEUE)

    def close(self) -> None:
        """Send what waits, for two seconds at most."""
        # The SDK waits for a collector that hangs; a daemon is left behind when the process ends.
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(_CLOSE_SECONDS)
        if ending.is_alive():
            self._exporter.shutdown()


def endpoint_of(settings: TelemetrySettings) -> str:
    """Where spans are posted: the endpoint, with the usual path when it names none."""
    endpoint = settings.traces_endpoint
    return endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _PATH


def header_pairs(settings: TelemetrySettings) -> tuple[tuple[str, str], ...]:
    """Each header's name and the reference to its value."""
    parts = (each.partition(":") for each in settings.traces_headers)
    return tuple((name.strip(), value.strip()) for name, _, value in parts)


def check_headers(settings: TelemetrySettings, secrets: SecretResolver) -> None:
    """Read each header's secret once. Raises KeyUnreachable."""
    for _, value in header_pairs(settings):
        secrets.resolve(value)
