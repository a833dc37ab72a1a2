"""The paths of the endpoints: of a workspace, and of one of its servers."""

import pytest

from gatelodge.core.protocol.shown.names import alias_for, is_alias
from gatelodge.web.endpoint.request_context import EndpointRoute, route_of


@pytest.mark.parametrize(
    "alias", ["a", "git", "filesystem-readonly", "a-9", alias_for("a very long name of a server")]
)
def test_each_alias_that_a_server_may_have_leads_to_its_endpoint(alias: str):
    assert is_alias(alias)
    assert route_of(f"/k/w/s/{alias}/mcp".encode()) == EndpointRoute("w", alias)


@pytest.mark.parametrize("alias", ["", "9", "-a", "A", "a_b", "a" * 21, "a/b"])
def test_what_is_no_alias_leads_nowhere(alias: str):
    assert not is_alias(alias)
    assert route_of(f"/k/w/s/{alias}/mcp".encode()) is None
