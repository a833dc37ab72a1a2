"""What `/readyz` tells of a node that does not serve, and `/api/v1/ready` besides."""

import json

import anyio
import pytest

from gatelodge.cli.client import ApiRequest, _call_asgi_app
from gatelodge.config.schema import Settings
from gatelodge.core.errors import LedgerDown, NotYet, Stale, StoreDown
from gatelodge.web.api.context import AdminContext
from gatelodge.web.api.routes import assembled

WHY = "the database at db.example.test went away"
FAULTS = [Stale(WHY), StoreDown(WHY), LedgerDown(WHY), NotYet(WHY)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda each: type(each).__name__)
def test_a_node_that_does_not_serve_says_no_more_to_a_probe(fault):
    parts = dict.fromkeys(AdminContext.__struct_fields__)
    gate = AdminContext(**{**parts, "settings": Settings(), "unready": lambda: fault})
    app = assembled(gate, local=False)
    told = anyio.run(_call_asgi_app, app, ApiRequest("GET", "/readyz"))
    assert (told.status, json.loads(told.body)) == (503, {"status": "unready"})
    told = anyio.run(_call_asgi_app, app, ApiRequest("GET", "/api/v1/ready"))
    assert (told.status, json.loads(told.body)["detail"]) == (503, WHY)
    told = anyio.run(_call_asgi_app, app, ApiRequest("GET", "/healthz"))
    assert (told.status, json.loads(told.body)) == (200, {"status": "ok"})
