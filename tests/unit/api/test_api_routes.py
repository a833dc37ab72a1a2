"""What the routes say of themselves: who may ask them, and how they are described."""

import json
from types import SimpleNamespace

import pytest

from gatelodge.config.schema import Settings
from gatelodge.core.roles import VERBS
from gatelodge.web.api.door import LOCAL_ONLY, OPEN
from gatelodge.web.api.routes import IN_WORKSPACE, OF_HOUSE, assembled

EVERY = [*IN_WORKSPACE, *OF_HOUSE]


def acts(route) -> tuple[str, ...]:
    said = route.opt.get("act")
    return (said,) if isinstance(said, str) else tuple(said or ())


def names(route) -> str:
    return f"{route.fn.__module__}.{route.fn.__name__}"


@pytest.mark.parametrize("route", EVERY, ids=names)
def test_every_route_says_what_it_does_in_a_word_of_the_roles(route) -> None:
    assert acts(route)
    assert set(acts(route)) <= {*VERBS, OPEN, LOCAL_ONLY}


def test_strangers_may_ask_for_health_only() -> None:
    assert {names(each) for each in EVERY if OPEN in acts(each)} == {
        "gatelodge.web.api.house.health.health",
        "gatelodge.web.api.house.health.ready",
    }


def test_a_route_that_reads_takes_no_verb_of_change() -> None:
    for route in EVERY:
        if route.http_methods == {"GET"}:
            for act in acts(route):
                assert act.endswith((".read", ".own", ".export")) or act == OPEN, names(route)


def test_whatever_changes_something_is_no_get() -> None:
    for route in EVERY:
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
