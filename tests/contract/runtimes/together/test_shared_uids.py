"""No two servers of a gate have one uid, whatever runs them: ending one ends nothing of another."""

import hashlib
import itertools
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from tests.contract.runtimes.conftest import Guest, Heard
from tests.contract.runtimes.guest_image import ROOT as GUEST_ROOT
from tests.contract.runtimes.guest_image import GuestImages
from tests.contract.runtimes.kinds import GUEST, spec
from tests.upstreams.pools import ROOT, until

from gatelodge.adapters.runtime.landlock.calls import landlock_version
from gatelodge.adapters.runtime.process.uids import UidAllocator
from gatelodge.app.wiring.runtimes import runtime_selector
from gatelodge.config.schema import UIDS, HostingSettings

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give uids"),
    pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock"),
]


def alike() -> tuple[str, str]:
    """Two servers that by their ids would have the same uid."""
    seen: dict[int, str] = {}
    for server in (f"srv_{number}" for number in itertools.count()):
        wish = int.from_bytes(hashlib.sha256(server.encode()).digest()[:4]) % UIDS
        if wish in seen:
            return seen[wish], server
        seen[wish] = server
    raise AssertionError


@pytest.mark.parametrize(
    "servers", [("srv_one", "srv_one"), alike()], ids=["one server", "two that are alike"]
)
@pytest.mark.parametrize("ends", ["process", "landlock images"])
async def test_a_server_outlives_one_of_another_runtime(
    servers: tuple[str, str], ends: str, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "homes"))
    settings = HostingSettings(
        stop_seconds=0.2, runtime="landlock", plain_commands="process", cache_dir=f"{folder}/caches"
    )
    images = GuestImages(Path(os.environ[GUEST_ROOT]))
    uids = UidAllocator(ROOT.first_uid)
    runtime = runtime_selector(settings, folder / "data", images, uids)
    script = shutil.copy(GUEST, folder)
    guests: dict[str, Guest] = {}
    for kind, server in zip(("process", "landlock images"), servers, strict=True):
        output, errors = Heard(), Heard()
        wanted = spec(kind, script, "mark", "serve", server=server)
        guests[kind] = Guest(await runtime.start(wanted, output, errors), output, errors)
    try:
        for each in guests.values():
            assert await each.ask("echo", 1) == [1]
        ended = guests.pop(ends)
        await ended.instance.stop(0.0)
        (left,) = guests.values()
        assert await left.ask("echo", 1) == [1]
        assert left.instance.status is None
    finally:
        for each in runtime.instances():
            await each.stop(0.0)
        await runtime.close()
    await until(lambda: not list((folder / "homes").iterdir()), "no home stays")
