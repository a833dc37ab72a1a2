"""Small files on a disk that takes a part of them: each is there whole, or as it was."""

import contextlib
import resource

import pytest

from gatelodge.adapters.files import create_file, replace_file
from gatelodge.adapters.keys.disk import open_disk_keys
from gatelodge.adapters.ledger.guard import FileGuard
from gatelodge.core.errors import KeyUnreachable, LedgerDown

ROOT = bytes(32)


@contextlib.contextmanager
def room_for(octets: int):
    """The system takes so many bytes of each file, and refuses what is left of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("room", [0, 1, 40, 70])
async def test_a_guard_that_has_no_room_stays_as_it_was_and_nothing_is_signed(tmp_path, room):
    guard = FileGuard(tmp_path / "signed.json")
    await guard.advance({"gov": (3, ROOT)})
    with room_for(room), pytest.raises(LedgerDown):
        await guard.advance({"gov": (4, ROOT), "log": (1, ROOT)})
    assert guard.last("gov") == FileGuard(tmp_path / "signed.json").last("gov") == (3, ROOT)
    await guard.advance({"gov": (4, ROOT)})
    assert FileGuard(tmp_path / "signed.json").last("gov") == (4, ROOT)


@pytest.mark.parametrize("room", [0, 1, 64])
def test_keys_that_have_no_room_are_not_made_and_are_made_whole_later(tmp_path, room):
    with room_for(room), pytest.raises(KeyUnreachable):
        open_disk_keys(tmp_path / "keys", create=True)
    assert not (tmp_path / "keys").exists()
    made = open_disk_keys(tmp_path / "keys", create=True)
    assert open_disk_keys(tmp_path / "keys", create=False).fingerprints() == made.fingerprints()


@pytest.mark.parametrize("room", [0, 1, 999])
def test_a_file_that_has_no_room_is_there_as_it_was_or_not_at_all(tmp_path, room):
    old, new = tmp_path / "old.json", tmp_path / "created"
    replace_file(old, b"good")
    for put in (replace_file, create_file):
        with room_for(room), pytest.raises(OSError, match="File too large"):
            put(old if put is replace_file else new, b"a" * 1000)
    assert old.read_bytes() == b"good"
    assert list(tmp_path.iterdir()) == [old]
