"""What the routes say of themselves: who may ask them, and how they are described."""

import json
import re
from types import SimpleNamespace

import anyio
import pytest
from openapi_spec_validator import validate
from tests.gate import ROOT

from gatelodge.cli.client import ApiRequest, _call_asgi_app
from gatelodge.config.schema import Settings, TelemetrySettings
from gatelodge.core.roles import VERBS
from gatelodge.web.api.authentication import LOCAL_ONLY, OPEN
from gatelodge.web.api.routes import AT_ROOT, IN_WORKSPACE, OF_HOUSE, assembled

EVERY = [*IN_WORKSPACE, *OF_HOUSE, *AT_ROOT]
LOOKS = {
    "gatelodge.web.api.house.debug.debug": "the local operator alone may look at it",
    "gatelodge.web.api.rules.instances.logs": "last words are for whoever may start the server",
}
"""What is read with a verb of change, and why."""


def acts(route) -> tuple[str, ...]:
    said = route.opt.get("act")
    return (said,) if isinstance(said, str) else tuple(said or ())


def names(route) -> str:
    return f"{route.fn.__module__}.{route.fn.__name__}"


@pytest.mark.parametrize("route", EVERY, ids=names)
def test_every_route_says_what_it_does_in_a_word_of_the_roles(route) -> None:
    assert acts(route)
    assert set(acts(route)) <= {*VERBS, OPEN, LOCAL_ONLY}


def served(path: str, **telemetry: bool) -> list[str]:
    """What is served under a path by these settings."""
    settings = Settings(telemetry=TelemetrySettings(**telemetry))
    app = assembled(SimpleNamespace(settings=settings, ids=None), local=True)
    found = [each for each in app.routes if each.path == path]
    return [names(handler) for each in found for handler in each.route_handlers if handler.fn]


def test_strangers_may_ask_for_health_only() -> None:
    assert {names(each) for each in EVERY if OPEN in acts(each)} == {
        "gatelodge.web.api.house.health.health",
        "gatelodge.web.api.house.health.ready",
        "gatelodge.web.api.house.probes.healthz",
        "gatelodge.web.api.house.probes.readyz",
        "gatelodge.web.api.house.probes.open_metrics",
    }


def test_strangers_may_read_the_numbers_only_where_a_setting_says_so() -> None:
    mine, anybodys = ("gatelodge.web.api.house.probes." + n for n in ("metrics", "open_metrics"))
    assert mine in served("/metrics")
    assert anybodys not in served("/metrics")
    assert anybodys in served("/metrics", open_metrics=True)
    assert mine not in served("/metrics", open_metrics=True)


def test_a_route_that_reads_takes_no_verb_of_change() -> None:
    for route in EVERY:
        if route.http_methods == {"GET"}:
            for act in acts(route):
                reads = act.endswith((".read", ".own", ".export")) or act == OPEN
                assert reads or names(route) in LOOKS, names(route)


def test_whatever_changes_something_is_no_get() -> None:
    for route in (each for each in EVERY if names(each) not in LOOKS):
        if any(not act.endswith((".read", ".own", ".export")) for act in acts(route)):
            assert "GET" not in route.http_methods or acts(route) == (OPEN,), names(route)


def test_the_description_needs_nothing_from_outside() -> None:
    gate = SimpleNamespace(settings=Settings(), ids=None)
    document = assembled(gate, local=True).openapi_schema.to_schema()
    assert len(document["paths"]) > 40
    assert "http://" not in json.dumps(document)
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method == "parameters":
                continue
            assert operation["description"], path
            assert "application/problem+json" in operation["responses"]["400"]["content"]


def test_a_parameter_that_a_route_does_not_know_is_refused_on_every_route() -> None:
    app = assembled(SimpleNamespace(settings=Settings(), ids=None), local=True)
    document = app.openapi_schema.to_schema()
    asked = [
        (method.upper(), re.sub(r"\{[^}]*\}", "7", path))
        for path, methods in document["paths"].items()
        for method in methods
        if method != "parameters"
    ]
    assert len(asked) > 50
    for method, path in asked:
        told = anyio.run(_call_asgi_app, app, ApiRequest(method, f"{path}?sttus=active"))
        assert (told.status, json.loads(told.body)["code"]) == (400, "error.refused.invalid"), path
        assert "'sttus' is not known here" in json.loads(told.body)["detail"]


def test_a_parameter_that_nearly_fits_is_told_and_one_that_comes_twice_is_refused() -> None:
    app = assembled(SimpleNamespace(settings=Settings(), ids=None), local=True)
    path = "/api/v1/workspaces/main/audit/records"
    told = json.loads(anyio.run(_call_asgi_app, app, ApiRequest("GET", f"{path}?outcom=ok")).body)
    assert "did you mean outcome?" in told["detail"]
    assert "since" in told["remedy"]
    told = json.loads(
        anyio.run(_call_asgi_app, app, ApiRequest("GET", f"{path}?tool=a&tool=b")).body
    )
    assert "twice" in told["detail"]


@pytest.mark.slow
def test_the_description_is_valid_openapi_and_names_each_operation_once():
    document = json.loads((ROOT / "docs/reference/openapi.json").read_text("utf-8"))
    validate(document)
    operations = [
        (path, each)
        for path, item in document["paths"].items()
        for verb, each in item.items()
        if verb in {"get", "post", "put", "patch", "delete"}
    ]
    names = [each["operationId"] for _, each in operations]
    assert len(names) == len(set(names))
    for path, each in operations:
        declared = {one["name"] for one in each.get("parameters", ()) if one["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)\}", path)), path
        assert each["tags"]
    assert document["security"] == [{"token": []}]
