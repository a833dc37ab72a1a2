"""Keys in a directory of their own, apart from the database that they guard.

`log` signs checkpoints, `peppers/N` key the digests of tokens (the highest number for new ones),
`kek` wraps data keys, `seal` seals what clients carry, `journal` tags journal frames. Each file
holds 32 random bytes as one line of hex. A thief of the database alone can neither read a token
nor plant one; a thief of this directory alone finds nothing to use it on.
"""

import hmac
import os
import re
import shutil
import stat
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gatelodge.adapters.files import create_file, rename_durably, sync_path
from gatelodge.core.errors import KeyMismatch, KeyUnreachable

_BYTES = 32
_PLAIN = ("log", "kek", "seal", "journal")
_FIRST_PEPPER = "peppers/1"
_NUMBER = re.compile(r"0|[1-9][0-9]*")
_FOR_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class DiskKeys:
    """The keys of one data directory, read once. Prints nothing of what it holds."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)

    @property
    def log(self) -> bytes:
        """The Ed25519 seed that signs checkpoints."""
        return self._keys["log"]

    @property
    def kek(self) -> bytes:
        """The AES-256 key that wraps data keys."""
        return self._keys["kek"]

    @property
    def seal(self) -> bytes:
        """The AES-256 key of sessions and cursors."""
        return self._keys["seal"]

    @property
    def journal(self) -> bytes:
        """The key of the journal's frame tags."""
        return self._keys["journal"]

    @property
    def peppers(self) -> dict[str, bytes]:
        """The peppers by their id, newest first."""
        numbers = sorted((int(n[8:]) for n in self._keys if n.startswith("peppers/")), reverse=True)
        return {str(number): self._keys[f"peppers/{number}"] for number in numbers}

    def fingerprints(self) -> dict[str, str]:
        """32 hex characters for each key: safe to write down, useless to guess a key from.

        The log key's is of its public half; the secret ones' are an HMAC of a fixed text.
        """
        return {name: _fingerprint_of_key(name, key) for name, key in sorted(self._keys.items())}

    def check(self, recorded: Mapping[str, str]) -> None:
        """Raise KeyMismatch unless every recorded key is here; keys that came later may be."""
        have = self.fingerprints()
        wrong = sorted(name for name, print_ in recorded.items() if have.get(name) != print_)
        if wrong:
            raise KeyMismatch(f"not the keys that belong to this database: {', '.join(wrong)}")


def open_disk_keys(directory: Path, *, create: bool) -> DiskKeys:
    """Read the keys; with `create` (the database is new too) make them when there are none.

    Raises KeyMismatch when they are missing for a database that is not new, KeyUnreachable when
    a file cannot be read, is not a key, or could be read by others.
    """
    # A link to nowhere counts as there: whoever put it would choose where the keys are made.
    if not os.path.lexists(directory):
        # With new ones no token in the database would be known, and another key would sign its
        # logs.
        if not create:
            raise KeyMismatch(f"the keys directory {directory} is missing")
        _create_key_directory(directory)
    try:
        for folder in (directory, directory / "peppers"):
            _refuse_open_doors(folder, folder.stat(follow_symlinks=False))
        peppers = _pepper_numbers(directory / "peppers")
        names = [*_PLAIN, *(f"peppers/{number}" for number in peppers)]
        keys = {name: _read_key_file(directory / name) for name in names}
    except OSError as fault:
        raise KeyUnreachable(
            f"cannot read {fault.filename}: {fault.strerror}",
            remedy="Give this process's user the keys directory, or restore it from its backup.",
        ) from fault
    if not peppers:
        raise KeyUnreachable(
            f"{directory / 'peppers'} is empty", remedy="Restore it from its backup."
        )
    return DiskKeys(keys)


def _pepper_numbers(folder: Path) -> list[str]:
    """The names that are numbers; what an editor or a copy left beside them is no pepper."""
    numbers = [path.name for path in folder.iterdir() if path.name.isdigit()]
    for number in numbers:
        # `02` and `2` would be one pepper to a token and two files here; a superscript is a digit,
        # to Python.
        if not _NUMBER.fullmatch(number):
            raise KeyUnreachable(
                f"{folder / number} is not named as a pepper is",
                remedy="Name it by a plain number without zeros before it (1, 2, 3), or remove it.",
            )
    return numbers


def _create_key_directory(directory: Path) -> None:
    """Make all keys aside, then rename: a crash leaves either a whole directory or none."""
    aside = directory.with_name(directory.name + ".new")
    try:
        shutil.rmtree(aside, ignore_errors=True)  # left by a crash, never used
        (aside / "peppers").mkdir(mode=0o700, parents=True)
        aside.chmod(0o700)
        for name in (*_PLAIN, _FIRST_PEPPER):
            create_file(aside / name, os.urandom(_BYTES).hex().encode() + b"\n")
        # Before the rename: a loss of power must not leave a directory of that name with less in
        # it.
        for folder in (aside / "peppers", aside):
            sync_path(folder)
        rename_durably(aside, directory)
    except OSError as fault:
        raise KeyUnreachable(
            f"cannot make the keys directory {directory}: {fault.strerror}",
            remedy="Set data_dir to a directory that this process may write.",
        ) from fault


def _read_key_file(path: Path) -> bytes:
    # No link is followed, which somebody else may have put there, and a pipe in the place of a key
    # is not waited for.
    with os.fdopen(os.open(path, _FOR_READING), "rb") as file:
        # What was opened is judged: nothing can take its place between the look and the read.
        _refuse_open_doors(path, os.fstat(file.fileno()))
        # One byte more than a key with its newline, so that a longer file is told from one.
        text = file.read(_BYTES * 2 + 2)
    try:
        key = bytes.fromhex(text.decode("ascii").removesuffix("\n"))
    except ValueError:
        # Raised outside the handler: chained to it, the decoder's error would hold bytes of the
        # file.
        key = b""
    if len(key) != _BYTES:
        raise KeyUnreachable(f"{path} is not a key", remedy="Restore it from its backup.")
    return key


def _refuse_open_doors(path: Path, seen: os.stat_result) -> None:
    """Refuse what others may read or put in our keys' place: a link, their file, an open mode."""
    if not (stat.S_ISDIR(seen.st_mode) or stat.S_ISREG(seen.st_mode)):
        raise KeyUnreachable(
            f"{path} is not a file or directory but leads elsewhere",
            remedy="Put the keys themselves there, or mount them there.",
        )
    # Root can read and replace them whoever owns them.
    if seen.st_uid not in (os.geteuid(), 0):
        raise KeyUnreachable(
            f"{path} belongs to uid {seen.st_uid}, this process is uid {os.geteuid()}",
            remedy="Run the gate as the account that owns its keys, or give it those of its own.",
        )
    if stat.S_IMODE(seen.st_mode) & 0o077:
        raise KeyUnreachable(
            f"{path} is open to other users of this machine",
            remedy=f"Run `chmod -R go= {path}`, and ask who could have read it.",
        )


def _fingerprint_of_key(name: str, key: bytes) -> str:
    if name == "log":
        public = Ed25519PrivateKey.from_private_bytes(key).public_key().public_bytes_raw()
        return sha256(public).hexdigest()[:32]
    return hmac.digest(key, b"gatelodge key fingerprint", "sha256").hex()[:32]
