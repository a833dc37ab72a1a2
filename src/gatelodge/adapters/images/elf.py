"""The shared libraries that a program needs, read from the files: nothing is run for it.

As the loader of glibc finds them (ld.so(8)): the paths that the file itself names, the loader's
cache, and the usual directories. Libraries that are only opened by name while a program runs are
not seen here; `ALWAYS` are those that glibc itself opens, and that compiled packages count on.
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

ALWAYS: Final = (
    "libgcc_s.so.1",
    "libnss_dns.so.2",
    "libnss_files.so.2",
    "libresolv.so.2",
    "libstdc++.so.6",
    "libz.so.1",
    "libm.so.6",
    "libdl.so.2",
    "librt.so.1",
    "libpthread.so.0",
    "libutil.so.1",
)
_CACHE = Path("/etc/ld.so.cache")
_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER, _ENTRY = struct.Struct("=20sII20x"), struct.Struct("=iIIIQ")
_ELF = b"\x7fELF"


class ElfFile(Struct, frozen=True, kw_only=True):
    """What a program or a library says of itself."""

    machine: str
    needs: tuple[str, ...]
    paths: tuple[str, ...]
    loader: str = ""


class SharedLibraries:
    """Finds libraries by name; what it found it keeps."""

    def __init__(self) -> None:
        self._cached = dict(reversed(list(_cached_libraries(_CACHE))))
        self.found: dict[str, Path] = {}
        """Each library by the name that programs ask for, and the file that it is."""
        self.missing: set[str] = set()

    def add_needs(self, programs: Iterable[Path]) -> None:
        """Find all that these programs and libraries need, and what those need. Raises OSError."""
        todo: list[tuple[Path, tuple[str, ...]]] = [(each, ()) for each in programs]
        seen: set[Path] = set()
        while todo:
            path, inherited = todo.pop()
            path = path.resolve()
            elf = None if path in seen else read_elf(path)
            seen.add(path)
            if elf is None:
                continue
            paths = (*elf.paths, *inherited)
            wanted = [*elf.needs, *([elf.loader] if elf.loader else ())]
            for name in wanted:
                library = self._find(Path(name).name, elf.machine, (*paths, str(Path(name).parent)))
                if library is not None:
                    todo.append((library, paths))

    def add_named(self, names: Iterable[str], like: Path) -> None:
        """Find libraries by name for a program, where they are there. Raises OSError."""
        elf = read_elf(like.resolve())
        if elf is None:
            return
        for name in names:
            library = self._find(name, elf.machine, ())
            self.missing.discard(name)
            if library is not None:
                self.add_needs([library])

    def _find(self, name: str, machine: str, paths: tuple[str, ...]) -> Path | None:
        if name in self.found:
            return self.found[name]
        cached = self._cached.get(name)
        usual = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")
        places = [f"{each}/{name}" for each in paths if each.startswith("/")]
        places += [cached] if cached else []
        places += [f"{each}/{name}" for each in usual]
        for place in places:
            path = Path(place)
            elf = read_elf(path) if path.is_file() else None
            if elf is not None and elf.machine == machine:
                self.found[name] = path.resolve()
                return path.resolve()
        self.missing.add(name)
        return None


def read_elf(path: Path) -> ElfFile | None:
    """What the file says of itself; None = it is no ELF file that is loaded. Raises OSError."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.dynamic import DynamicSegment
    from elftools.elf.elffile import ELFFile
    from elftools.elf.segments import InterpSegment

    with path.open("rb") as file:
        if file.read(4) != _ELF:
            return None
        file.seek(0)
        try:
            elf = ELFFile(file)
            machine = f"{elf['e_machine']}-{elf.elfclass}"
            needs: list[str] = []
            paths: list[str] = []
            loader = ""
            for segment in elf.iter_segments():
                if segment["p_type"] == "PT_INTERP":
                    assert isinstance(segment, InterpSegment)
                    loader = segment.get_interp_name()
                if segment["p_type"] == "PT_DYNAMIC":
                    assert isinstance(segment, DynamicSegment)
                    tags = list(segment.iter_tags())
                    needs += _texts_of(tags, "needed")
                    paths += _texts_of(tags, "runpath") + _texts_of(tags, "rpath")
        except (ELFError, ValueError, KeyError, struct.error):
            return None
    origin = str(path.resolve().parent)
    split = [part for each in paths for part in each.split(":") if part]
    full = [part.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for part in split]
    return ElfFile(machine=machine, needs=tuple(needs), paths=tuple(full), loader=loader)


def _texts_of(tags: list[Any], kind: str) -> list[str]:
    """What the entries of one kind say; the reader gives each an attribute by its kind."""
    wanted = f"DT_{kind.upper()}"
    return [str(getattr(tag, kind)) for tag in tags if tag.entry.d_tag == wanted]


def _cached_libraries(path: Path) -> Iterator[tuple[str, str]]:
    """Names and files in the loader's cache (glibc's new format); nothing when there is none."""
    try:
        octets = path.read_bytes()
    except OSError:
        return
    start = octets.find(_MAGIC)
    if start < 0:
        return
    octets = octets[start:]
    _, count, _ = _HEADER.unpack_from(octets)
    for index in range(count):
        place = _HEADER.size + index * _ENTRY.size
        if place + _ENTRY.size > len(octets):
            return
        _, key, value, _, capability = _ENTRY.unpack_from(octets, place)
        if not capability:  # the others are for some processors only
            yield _text_at(octets, key), _text_at(octets, value)


def _text_at(octets: bytes, place: int) -> str:
    return octets[place : octets.find(b"\0", place)].decode("utf-8", "replace")
