"""A server whose tools never stay the same stands in nobody's way and fills nothing."""

import itertools
import time
from typing import Any

import pytest
from tests.leaves import leaves_of
from tests.stage import Stage
from tests.upstreams.http_upstream import HttpUpstream
from tests.wire import until

WITHIN = 1.0
CHANGED = "notifications/tools/list_changed"
_ROUNDS = itertools.count()


class Renaming:
    """Each time that it is asked it has so many tools of other names, and says so at once."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.many = 2
        self.server = stage.servers.open(HttpUpstream())
        self.server.methods["tools/list"] = self.listed

    def listed(self, talk: Any) -> None:
        mark = next(_ROUNDS)
        names = [f"t{mark}_{number}" for number in range(self.many)]
        talk.result({"tools": [{"name": name, "inputSchema": {}} for name in names]})
        self.stage.servers.tell(self.server, CHANGED)


@pytest.mark.slow
@pytest.mark.guarantee("revoke:under-a-second")
@pytest.mark.parametrize("many", [1_000, 40_000])
def test_while_a_server_renames_its_tools_for_ever_access_ends_within_a_second(
    stage: Stage, many: int
):
    renaming = Renaming(stage)
    place = stage.place(f"renames-{many}")
    place.serve("names", renaming.server.url)
    names = [f"m{number}" for number in range(12)]
    for name in names:
        place.admit(name)
    renaming.many = many
    stage.servers.tell(renaming.server, CHANGED)
    looks = len(renaming.server.of("tools/list"))
    until(lambda: len(renaming.server.of("tools/list")) > looks + 3)
    for name in names:
        began = time.monotonic()
        place.api("POST", f"/members/{name}@example.test/suspend", {})
        assert time.monotonic() - began < WITHIN
    leaves = leaves_of(stage.gate.directory, "gov")
    written = [leaf for leaf in leaves if leaf["t"] == "catalog.observed"]
    assert 0 < len(written) < 400
