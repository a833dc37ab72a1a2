"""What a node says of itself, by whether it is one that should serve."""

from types import SimpleNamespace

from gatelodge.core.errors import LedgerDown, Stale
from gatelodge.web.api.house.health import unserving


def test_a_command_beside_a_busy_node_is_not_at_fault_for_having_no_lease():
    stale = Stale("this node cannot prove that its view is fresh")
    broken = LedgerDown("records cannot be made durable")
    command = SimpleNamespace(idle="nod_1", unready=lambda: stale)
    assert unserving(command) is None
    assert unserving(SimpleNamespace(idle="", unready=lambda: stale)) is stale
    assert unserving(SimpleNamespace(idle="nod_1", unready=lambda: broken)) is broken
