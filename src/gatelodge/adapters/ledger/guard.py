"""The guard file: what was signed last, on another path than the database."""

from collections.abc import Mapping
from pathlib import Path

import anyio.to_thread
import msgspec

from gatelodge.adapters.files import replace_file
from gatelodge.core.errors import LedgerDown, LogForked

_Kept = dict[str, tuple[int, bytes]]
_SHARD = "@"
"""Not the id of any log: the number of the shard that the present logs are of."""


class FileGuard:
    """The port `Guard`: one JSON object, log id to [size, root in base64].

    It is written before a checkpoint is signed, so it is never behind one that somebody holds. A
    crash between guard and signature leaves it ahead, at a size that the ledger has. On another
    disk or mount than the database it also tells when the database was put back to an older state.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: _Kept = {}
        try:
            if path.exists():
                self._kept = msgspec.json.decode(path.read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError) as fault:
            # Taken for an empty one it would let an older database pass for the newest.
            raise LogForked(f"the guard file {path} cannot be read") from fault

    @property
    def logs(self) -> frozenset[str]:
        """The logs of which a checkpoint was about to be signed here."""
        return frozenset(self._kept) - {_SHARD}

    @property
    def shard(self) -> int:
        """The number of the shard that the logs which are not of the past belong to."""
        return self._kept.get(_SHARD, (1, b""))[0]

    def last(self, log: str) -> tuple[int, bytes] | None:
        """Size and root of the newest checkpoint of this log that was about to be signed here."""
        return self._kept.get(log)

    def keep(self, known: Mapping[str, tuple[int, bytes]], shard: int) -> None:
        """Write the file of a house that nobody serves yet. Raises OSError."""
        kept = {_SHARD: (shard, b""), **known}
        self._write_guard_file(kept)
        self._kept = kept

    async def advance(self, signing: Mapping[str, tuple[int, bytes]]) -> None:
        """Keep these sizes and roots durably. Raises LedgerDown."""
        kept = {**self._kept, **signing}
        try:
            await anyio.to_thread.run_sync(self._write_guard_file, kept)
        except OSError as fault:
            raise LedgerDown("the guard file cannot be written; nothing is signed") from fault
        # Behind the write: `last` must not vouch for a size that a crash would forget.
        self._kept = kept

    def _write_guard_file(self, kept: _Kept) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(self._path, msgspec.json.encode(kept))
