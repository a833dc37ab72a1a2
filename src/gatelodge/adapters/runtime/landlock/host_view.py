"""What a program of this machine is shown of it: the system, its own tree, and its home.

Nothing else is there: no other path, so no data directory, no operator's home, no socket of an
engine or an agent. What a tree holds that is not the program's is covered.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from gatelodge.adapters.runtime.process.exec_permissions import interpreter_of_script
from gatelodge.core.errors import LaunchRefused

_SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS: Final = (
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/openssl.cnf", "/etc/pki/ca-trust/extracted", "/etc/crypto-policies",
    "/etc/alternatives", "/etc/localtime", "/etc/timezone", "/etc/nsswitch.conf",
    "/etc/mime.types", "/etc/protocols", "/etc/services", "/etc/os-release",
)  # fmt: skip
"""Of /etc what programs read to run: no names of users, no hosts, no keys."""
_WIDE: Final = frozenset(
    ("/", "/home", "/root", "/var", "/var/lib", "/etc", "/opt", "/srv", "/mnt", "/media", "/boot")
)
_OF_THE_KERNEL: Final = ("/proc", "/sys", "/dev", "/run", "/etc")
_SCRIPTS: Final = frozenset(
    (".py", ".pyz", ".js", ".mjs", ".cjs", ".ts", ".mts", ".rb", ".sh", ".jar")
)
_PREFIX_HAS: Final = ("lib", "lib64", "libexec")
_MOST_LINKS = 40
_MEND_PLACE: Final = (
    "Install the program outside the gate's own directories, or run it as a child process: "
    'hosting.plain_commands = "process".'
)
_MEND_CWD: Final = "Name a directory of the program's own: gatelodge server edit ALIAS --cwd DIR"


_FETCHERS: Final = {"npx": "npm", "pnpx": "npm", "bunx": "npm", "uvx": "pypi", "pipx": "pypi"}
"""Programs that fetch what they run, and what a package of theirs is called as a source."""


class HostView(Struct):
    """What is shown: mounts as (source, target, kind of access), links, and what is covered."""

    binds: list[tuple[str, str, str]] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    covers: list[str] = field(default_factory=list)

    def show(self, path: str | Path, kind: str = "run") -> None:
        """Show a path, with the links on the way to it; what is not there is left out."""
        real = self._follow(Path(path))
        if real is not None and not self.shows(real):
            self.binds.append((str(real), str(real), kind))

    def shows(self, path: Path) -> bool:
        """Say whether something that is shown already holds this path."""
        return any(path.is_relative_to(target) for _, target, _ in self.binds)

    def _follow(self, path: Path) -> Path | None:
        """The path without links; the links outside of what is shown are shown as links."""
        at, parts, links = Path("/"), [*path.parts[1:]], 0
        while parts:
            part = parts.pop(0)
            here = at.parent if part == ".." else at / part
            if not here.is_symlink():
                if not here.exists():
                    return None
                at = here
                continue
            links += 1
            if links > _MOST_LINKS:
                return None
            target = here.readlink()
            if not self.shows(here) and (str(here), str(target)) not in self.links:
                self.links.append((str(here), str(target)))
            if target.is_absolute():
                at = Path("/")
            parts = [*target.parts[1 if target.is_absolute() else 0 :], *parts]
        return at


def make_host_view(
    program: str,
    arguments: Iterable[str],
    path: str,
    cwd: str,
    hidden: Iterable[Path],
    writable: Iterable[str] = (),
    *,
    beside: Iterable[str] = (),
    readable: Iterable[str] = (),
) -> HostView:
    """What this command is shown. Raises LaunchRefused for what cannot be shown apart.

    A directory that an argument names can be read: the words of the command are what was approved.
    It can be written to where it lies in one of `writable`, which the operator set.

    `hidden` are directories that stay hidden, also where they are in the program's own folder; so
    does the one for temporary files, where the homes of other instances are.
    `beside` are programs that it starts, `readable` what it reads that no word of it names.
    """
    _refuse_fetcher(program)
    view = HostView()
    for each in _SYSTEM:
        view.show(each)
    for each in (*_SETTINGS, *map(str, Path("/etc").glob("python3*"))):
        view.show(each, "read")
    for each in (program, *beside):
        for tree in _program_trees(each, path):
            view.show(tree)
    for each in readable:
        view.show(each, "read")
    _show_named(view, arguments, writable)
    if cwd:
        if _is_wide(Path(cwd).resolve()) and not view.shows(Path(cwd).resolve()):
            text = f"The directory {cwd!r} holds more than one program may see."
            raise LaunchRefused(text, remedy=_MEND_CWD)
        view.show(cwd)
    kept = [each.resolve() for each in hidden]
    for source, _, _ in view.binds:
        if any(Path(source).is_relative_to(each) for each in kept):
            text = f"{source!r} lies among the gate's own files, which no server may see."
            raise LaunchRefused(text, remedy=_MEND_PLACE)
    folders = {target for _, target, _ in view.binds}
    view.binds = [each for each in view.binds if not folders & set(map(str, Path(each[1]).parents))]
    _cover_folders(view, [*kept, Path(tempfile.gettempdir()).resolve()])
    return view


def _refuse_fetcher(program: str) -> None:
    name = Path(program).name
    if name in _FETCHERS:
        raise LaunchRefused(
            f"{name} fetches what it runs, and a command in the sandbox has no network.",
            remedy=f"Host the package: gatelodge server add ALIAS {_FETCHERS[name]}:NAME@VERSION; "
            'or run commands as child processes: hosting.plain_commands = "process".',
        )


def _show_named(view: HostView, arguments: Iterable[str], writable: Iterable[str]) -> None:
    """Show the scripts and the directories that the command names by their whole paths."""
    may_write = [Path(each).resolve() for each in writable]
    for argument in arguments:
        named = Path(argument.rpartition("=")[2])
        if not named.is_absolute():
            continue
        if named.is_file():
            view.show(_script_folder(named))
        elif named.is_dir():
            real = named.resolve()
            if any(real.is_relative_to(each) for each in may_write):
                view.show(named, "write")
            elif not _is_wide(real):
                view.show(named, "read")


def _cover_folders(view: HostView, hidden: list[Path]) -> None:
    for folder in hidden:
        if view.shows(folder) and folder.is_dir():
            view.covers.append(str(folder))
    # Of two that lie in one another the outer one covers both.
    view.covers[:] = [
        each
        for each in dict.fromkeys(view.covers)
        if not any(each.startswith(f"{other}/") for other in view.covers)
    ]


def _program_trees(program: str, path: str) -> Iterator[Path]:
    """The program, each link on the way to it, its interpreters, and what belongs to each."""
    seen = set[str]()
    while program and program not in seen:
        seen.add(program)
        at = Path(program)
        while True:
            yield _installed_tree(at)
            yield from _base_interpreter(at)
            if not at.is_symlink() or len(seen) > _MOST_LINKS:
                break
            at = Path(os.path.normpath(at.parent.resolve() / at.readlink()))
            seen.add(str(at))
        program = interpreter_of_script(program, path)


def _installed_tree(file: Path) -> Path:
    """The directory that a program was installed into, or the file alone where none is its own."""
    if "node_modules" in file.parts:
        return Path(*file.parts[: file.parts.index("node_modules") + 1])
    prefix = file.parent.parent
    of_its_own = (prefix / "pyvenv.cfg").is_file() or any(
        (prefix / each).is_dir() for each in _PREFIX_HAS
    )
    if file.parent.name == "bin" and of_its_own and not _is_wide(prefix.resolve()):
        return prefix
    return file


def _base_interpreter(file: Path) -> Iterator[Path]:
    """Where the Python of a virtual environment was made from."""
    try:
        text = (file.parent.parent / "pyvenv.cfg").read_text()
    except (OSError, UnicodeDecodeError):
        return
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name.strip() == "home":
            yield _installed_tree(Path(value.strip()) / "python3")


def _script_folder(file: Path) -> Path:
    """The folder of a script, where it is one of its own; of anything else the file alone."""
    if "node_modules" in file.parts:
        return _installed_tree(file)
    folder = file.parent
    return folder if file.suffix in _SCRIPTS and not _is_wide(folder.resolve()) else file


def _is_wide(folder: Path) -> bool:
    """Say whether a directory holds what belongs to more than one program."""
    home = Path.home().resolve()
    wide = {*_WIDE, str(home / ".local"), str(home / ".config"), str(home / ".cache")}
    return (
        str(folder) in wide
        or home.is_relative_to(folder)
        or Path(tempfile.gettempdir()).resolve().is_relative_to(folder)
        or folder in (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - anybody's
        or any(folder.is_relative_to(each) for each in _OF_THE_KERNEL)
    )


def texts_of_host(uid: int, gid: int, home: str) -> dict[str, str]:
    """Files that are made for an instance: who it is, and that it is alone."""
    return {
        "/etc/passwd": f"server:x:{uid}:{gid}::{home}:/usr/sbin/nologin\n",
        "/etc/group": f"server:x:{gid}:\n",
        "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    }


def shown_plan(view: HostView, texts: dict[str, str]) -> dict[str, Any]:
    """The view as the jail reads it (`scenery.py`)."""
    return {"binds": view.binds, "links": view.links, "covers": view.covers, "texts": texts}
