"""Reads one layer, whoever made it: what it would put where, and what is in its files.

Nothing that stands in a layer is ever a path on this machine: files are kept by the digest of
their content, and names only become places in a tree in memory (`tree`). All of it is bounded.
"""

import gzip
import hashlib
import os
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final, Literal, Self

from msgspec import Struct

from gatelodge.core.errors import UpstreamUnreachable

MOST_BYTES: Final = 4 << 30
MOST_MEMBERS: Final = 200_000
LONGEST_NAME: Final = 4_096
_MOST_DEEP = 64
_EXTENDED_BYTES = 1 << 20
"""Of one extended header: the reader holds it in memory."""
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_PORTION = 1 << 20
WHITEOUT: Final = ".wh."
OPAQUE: Final = ".wh..wh..opq"
_GET_IT_ANEW = "Build or load the image anew; if it comes from elsewhere, do not trust its maker."


class LayerMember(Struct, frozen=True, kw_only=True):
    """What a layer says of one path: a directory, a file by the digest of its content, a link."""

    kind: Literal["directory", "file", "link", "hardlink", "whiteout", "opaque"]
    parts: tuple[str, ...]
    digest: str = ""
    executable: bool = False
    target: str = ""


class ContentPool:
    """Files by the digest of what is in them, each there once however many images have it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, digest: str, *, executable: bool) -> Path:
        """Where a file of this content is, or would be."""
        return self._directory / digest[:2] / f"{digest}{'x' if executable else ''}"

    def has_all(self, members: "tuple[LayerMember, ...]") -> bool:
        """True when each file of a layer is there, whatever became of it."""
        files = (each for each in members if each.kind == "file")
        return all(self.path(f.digest, executable=f.executable).exists() for f in files)

    def keep(self, file: IO[bytes], *, executable: bool) -> str:
        """Keep what is read, which its reader bounds; its digest in hex. Raises OSError."""
        digest = hashlib.sha256()
        self._directory.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=self._directory, prefix="new-")
        try:
            with os.fdopen(fd, "wb") as into:
                while portion := file.read(_PORTION):
                    digest.update(portion)
                    into.write(portion)
            place = self.path(digest.hexdigest(), executable=executable)
            place.parent.mkdir(exist_ok=True)
            Path(name).chmod(0o555 if executable else 0o444)
            # One that is there already may have been changed; what was just read was not.
            Path(name).rename(place)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return digest.hexdigest()


class LayerReader:
    """Reads layers of one image: the bounds hold for all of them together."""

    def __init__(self, pool: ContentPool | None) -> None:
        self._pool = pool
        self._bytes = MOST_BYTES
        self._members = MOST_MEMBERS

    def read_layer(self, path: Path, diff_id: str) -> tuple[LayerMember, ...]:
        """What the layer says, in its order; with a pool its files are kept there.

        Raises UpstreamUnreachable for what no layer may hold, or when it is not what `diff_id`
        says; OSError.
        """
        with path.open("rb") as packed:
            plain = _PlainStream(packed, self._bytes)
            try:
                members = self._read_members(plain)
                plain.drain()
            except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as fault:
                raise refused(f"a layer cannot be read ({type(fault).__name__})") from fault
        if f"sha256:{plain.digest.hexdigest()}" != diff_id:
            raise refused("a layer is not what the image says")
        self._bytes = plain.left
        return members

    def _read_members(self, plain: "_PlainStream") -> tuple[LayerMember, ...]:
        found: list[LayerMember] = []
        file: Any = plain  # of a file it has what an archive uses
        archive: Any = tarfile.open(fileobj=file, mode="r|", tarinfo=_BoundedTarInfo)  # noqa: SIM115
        for info in archive:
            archive.members.clear()  # it would keep all headers that it read
            self._members -= 1
            if self._members < 0:
                raise refused("it has more files than an image may have")
            member = self._read_member(archive, info)
            if member is not None:
                found.append(member)
        return tuple(found)

    def _read_member(self, archive: tarfile.TarFile, info: tarfile.TarInfo) -> LayerMember | None:
        parts = _safe_parts(info.name)
        if not parts:
            return None  # the root itself
        name = parts[-1]
        if name.startswith(WHITEOUT):
            return _hiding_member(parts)
        if info.isdir():
            return LayerMember(kind="directory", parts=parts)
        if info.issym():
            return LayerMember(kind="link", parts=parts, target=_safe_text(info.linkname))
        if info.islnk():
            target = "/".join(_safe_parts(info.linkname))
            return LayerMember(kind="hardlink", parts=parts, target=target)
        if not info.isreg() or info.issparse():
            raise refused(f"{info.name[:80]!r} is neither file, directory nor link")
        return self._read_file(archive, info, parts)

    def _read_file(
        self, archive: tarfile.TarFile, info: tarfile.TarInfo, parts: tuple[str, ...]
    ) -> LayerMember:
        executable = bool(info.mode & 0o111)
        content = archive.extractfile(info)
        assert content is not None
        if self._pool is None:
            digest = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
        else:
            digest = self._pool.keep(content, executable=executable)
        return LayerMember(kind="file", parts=parts, digest=digest, executable=executable)


class _BoundedTarInfo(tarfile.TarInfo):
    """A header of an archive; one that would have the reader take in too much is refused."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type in _EXTENDED and info.size > _EXTENDED_BYTES:
            raise refused("a header of a layer is too large")
        return info


class _PlainStream:
    """The plain bytes of a layer, packed or not, hashed and counted as they are read."""

    def __init__(self, packed: IO[bytes], room: int) -> None:
        magic = packed.read(4)
        packed.seek(0)
        if magic == b"\x28\xb5\x2f\xfd":
            raise refused("a layer is packed with zstd, which is not read here")
        packs = magic[:2] == b"\x1f\x8b"
        self._file: Any = gzip.GzipFile(fileobj=packed, mode="rb") if packs else packed
        self.digest = hashlib.sha256()
        self.left = room

    def read(self, size: int) -> bytes:
        octets: bytes = self._file.read(size)
        self.left -= len(octets)
        if self.left < 0:
            raise refused("it unpacks to more than an image may have")
        self.digest.update(octets)
        return octets

    def drain(self) -> None:
        """Read on to the end: what follows the archive belongs to the digest."""
        while self.read(_PORTION):
            pass


def _hiding_member(parts: tuple[str, ...]) -> LayerMember:
    """What hides a path of the layers below, or all that they have in a folder."""
    *folder, name = parts
    if name == OPAQUE:
        return LayerMember(kind="opaque", parts=tuple(folder))
    hidden = _safe_parts(name.removeprefix(WHITEOUT))
    return LayerMember(kind="whiteout", parts=(*folder, *hidden))


def refused(what: str) -> UpstreamUnreachable:
    """The error for an image that is not to be unpacked."""
    return UpstreamUnreachable(f"The image cannot be used: {what}.", remedy=_GET_IT_ANEW)


def _safe_parts(name: str) -> tuple[str, ...]:
    """The parts of a name below the root. Raises UpstreamUnreachable for one that leads out."""
    path = PurePosixPath(_safe_text(name))
    if path.is_absolute() or ".." in path.parts or len(path.parts) > _MOST_DEEP:
        raise refused(f"it names a place outside of itself, {name[:80]!r}")
    if any(len(part.encode()) > 255 for part in path.parts):
        raise refused("it has a name that is too long")
    return path.parts


def _safe_text(name: str) -> str:
    if not name or not name.isprintable() or len(name) > LONGEST_NAME:
        # Surrogates, which stand for octets that are no text, are not printable either.
        raise refused("it has a name that is no text, or too long")
    return name
