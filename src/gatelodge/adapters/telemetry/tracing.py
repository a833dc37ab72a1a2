"""Opens the tracer that the settings ask for; none is the default and loads nothing.

OpenTelemetry is the extra `gatelodge[otel]`: it is imported here, when an endpoint is set.
"""

from gatelodge.config.schema import TelemetrySettings
from gatelodge.core.errors import SettingsError
from gatelodge.ports.tracing import Tracer
from gatelodge.ports.world import SecretResolver

_EXTRA = ("opentelemetry", "requests")
_MISSING = (
    "telemetry.traces_endpoint: traces want OpenTelemetry, which is not installed: "
    "install gatelodge with its extra (pip install 'gatelodge[otel]'), or leave the endpoint empty"
)


def can_trace(settings: TelemetrySettings, secrets: SecretResolver) -> None:
    """Return when traces can be sent, or none are asked for.

    Raises SettingsError when the extra is missing, KeyUnreachable for a header's secret.
    """
    if not settings.traces_endpoint:
        return
    try:
        import gatelodge.adapters.telemetry.otlp
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise SettingsError((_MISSING,)) from None
    gatelodge.adapters.telemetry.otlp.check_headers(settings, secrets)


def open_tracer(settings: TelemetrySettings, secrets: SecretResolver, node: str) -> Tracer | None:
    """The tracer of this node, None when no endpoint is set. Raises what `can_trace` raises."""
    if not settings.traces_endpoint:
        return None
    can_trace(settings, secrets)
    from gatelodge.adapters.telemetry.otlp import OtlpTracer

    return OtlpTracer(settings, secrets, node)
