"""What stands at the root of the port: whether the node lives, whether it serves, its numbers."""

from typing import Any, Final

from litestar import Request, Response, get

from gatelodge.web.api.authentication import OPEN
from gatelodge.web.api.context import AdminContext
from gatelodge.web.api.house.health import AliveResponse
from gatelodge.web.api.parameters import TheCaller, TheGate
from gatelodge.web.telemetry.exposition import OPENMETRICS_TYPE, PLAIN_TYPE, wants_openmetrics
from gatelodge.web.telemetry.gathering import gathered

_UNREADY: Final = AliveResponse(status="unready")
Asked = Request[Any, Any, Any]


@get("/healthz", opt={"act": OPEN})
async def healthz() -> AliveResponse:
    """Say that the process answers, under whatever Host."""
    return AliveResponse()


@get("/readyz", opt={"act": OPEN})
async def readyz(gate: TheGate) -> Response[AliveResponse]:
    """Say whether this node serves calls now, under whatever Host: 503 when it does not.

    Why it does not is told by `/api/v1/ready`, to whoever knows the gate by its name.
    """
    if gate.unready() is None:
        return Response(AliveResponse())
    # Why stays out of it: a probe is answered under any Host, so a foreign page's may be one.
    return Response(_UNREADY, status_code=503, headers={"retry-after": "1"})


@get("/metrics", opt={"act": "metrics.read"}, media_type=PLAIN_TYPE)
async def metrics(request: Asked, gate: TheGate, caller: TheCaller) -> Response[bytes]:
    """Show the node's numbers and those of the caller's workspace, as Prometheus reads them.

    The operator on the gate's own machine sees every workspace. The text format is 0.0.4, or
    OpenMetrics 1.0.0 for whoever names `application/openmetrics-text` in Accept.
    """
    only = None if caller.local else caller.workspace
    measured = gathered(gate.inside, gate.traffic(), only)
    openmetrics = _accepts_openmetrics(request)
    text = await gate.scrapes.made(measured, openmetrics=openmetrics)
    return _metrics_response(text, openmetrics=openmetrics)


@get("/metrics", opt={"act": OPEN}, media_type=PLAIN_TYPE)
async def open_metrics(request: Asked, gate: TheGate) -> Response[bytes]:
    """Show the numbers of the node and of every workspace to anybody, a second old at most."""
    inside, openmetrics = gate.inside, _accepts_openmetrics(request)
    # Anybody may ask, so many who do must cost no more than one.
    text = await gate.scrapes.shared(
        lambda: gathered(inside, gate.traffic(), None),
        gate.clock.boottime,
        openmetrics=openmetrics,
    )
    return _metrics_response(text, openmetrics=openmetrics)


def at_root(gate: AdminContext) -> tuple[Any, ...]:
    """The routes that stand at the root, by the settings of this gate."""
    # One of them stands there, by the setting: a request cannot choose the one that asks nobody.
    scrape = open_metrics if gate.settings.telemetry.open_metrics else metrics
    return (healthz, readyz, scrape)


def _accepts_openmetrics(request: Asked) -> bool:
    return wants_openmetrics(request.headers.get("accept", ""))


def _metrics_response(text: bytes, *, openmetrics: bool) -> Response[bytes]:
    return Response(text, media_type=OPENMETRICS_TYPE if openmetrics else PLAIN_TYPE)


ROUTES = (healthz, readyz, metrics, open_metrics)
