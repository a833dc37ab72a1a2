"""What stands for all containers of a gate gives none what is another's, and outlasts each."""

import asyncio
import contextlib
from pathlib import Path

import pytest
from tests.upstreams.pools import until

from gatelodge.core.errors import UpstreamUnreachable

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def of_containers(kind_name):
    if not kind_name.startswith("oci"):
        pytest.skip("only containers have one supervisor for all")


def open_in(pids: list[int], what: str) -> set[str]:
    """What these have open whose name begins so."""
    found = set()
    for pid in pids:
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.add(str(each.readlink()))
    return {each for each in found if each.startswith(what)}


async def test_no_order_is_open_in_what_stays(host):
    starts = (host.start("serve", files={"KEY": "s3cret"}) for _ in range(4))
    guests = await asyncio.gather(*starts)
    assert open_in(host.running, "/memfd:order") == set()
    await guests[0].instance.stop(0.0)
    await until(lambda: guests[0].output.ended, "nobody else has the end of its output")


async def test_a_secret_that_is_no_text_ends_nobody_elses_container(host):
    other = await host.start("serve")
    with pytest.raises(UpstreamUnreachable):
        await host.start("serve", files={"KEY": "\udcff"})
    assert other.instance.status is None
    assert await other.ask("try", "environment", "no-such") == {"got": None}
