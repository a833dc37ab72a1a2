"""A server of an SDK that speaks both eras, whose tools ask in one of them each."""

import contextlib
import select
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.gate import ROOT, WAIT, environment
from tests.integration.bridges.conftest import Town
from tests.integration.bridges.visitors import (
    ELICIT,
    Refused,
    accept,
    form_client,
    methods,
    of_clients,
    visiting,
)

pytestmark = [pytest.mark.slow, *of_clients]
SERVER = str(ROOT / "tests/upstreams/asking/dual.py")


@pytest.fixture(scope="module")
def mixed(town: Town) -> Iterator[str]:
    """Ada's endpoint of it, once a client of either era has called each tool."""
    process = subprocess.Popen(
        [sys.executable, SERVER], stdout=subprocess.PIPE, env=environment(), text=True
    )
    with process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], WAIT)[0], "it does not start"
            town.serve("mixed", process.stdout.readline().strip())
            town.grant(member="ada@example.test", server="mixed", level="all")
            yield town.url()
        finally:
            process.kill()


@form_client
async def test_each_client_is_asked_by_each_tool_after_a_first_call_at_most(
    town: Town, mixed: str, kind: str
):
    async with visiting(kind, mixed, town.ada, {ELICIT: [accept(count=3)]}) as visitor:
        for name in ("mixed__need", "mixed__push"):
            with contextlib.suppress(Refused, AssertionError):
                await visitor.call(name)
            visitor.asked.clear()
            assert await visitor.call(name) == "3"
            assert methods(visitor.asked) == [ELICIT]
