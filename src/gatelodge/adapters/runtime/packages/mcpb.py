"""Bundles (`.mcpb`): an archive of a server with all that it needs, and a manifest of its start.

The manifest's forms 0.1 to 0.3 are read (`dxt_version` or `manifest_version`): servers of Node, of
Python, and programs of their own. What a bundle asks its user for is given by whoever adds it.
"""

import asyncio
import hashlib
import re
import stat
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Final, Literal

import msgspec
from msgspec import Struct

from gatelodge.adapters.runtime.packages.sandbox import ToolSandbox
from gatelodge.adapters.runtime.packages.tools import compile_bytecode
from gatelodge.adapters.runtime.packages.workshop import BuildLimits, workshop
from gatelodge.core.errors import Invalid, LimitReached
from gatelodge.core.hosting.materials import ImageMaterial
from gatelodge.core.hosting.scripts import refuse_scripts
from gatelodge.core.hosting.source import ArtifactSource
from gatelodge.ports.packages import LaidPackage, StageReport

_MOST_FILES: Final = 100_000
_PORTION: Final = 1 << 20
_MANIFEST: Final = "manifest.json"
_MANIFEST_BYTES: Final = 1 << 20
_ENV: Final = {
    "HOME": "/tmp",  # noqa: S108 - in the instance, where it is its own
    "LANG": "C.UTF-8",
    "PATH": "/opt/node/bin:/opt/python/bin:/usr/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
}
_PROGRAMS: Final = {"node": "/opt/node/bin/node", "python": "/opt/python/bin/python3"}
_ASKED = re.compile(r"\$\{user_config\.")


class _StartWords(Struct):
    command: str = ""
    args: list[str] = []
    env: dict[str, str] = {}


class _BundleStart(_StartWords):
    platform_overrides: dict[str, _StartWords] = {}


class _BundleServer(Struct):
    type: Literal["node", "python", "binary", "uv"]
    entry_point: str = ""
    mcp_config: _BundleStart = msgspec.field(default_factory=_BundleStart)


class _BundleManifest(Struct):
    name: str
    version: str
    server: _BundleServer


class BundleInstaller:
    """Lays bundles out in folders below a directory, one for each build."""

    def __init__(self, directory: Path, limits: BuildLimits, sandbox: ToolSandbox) -> None:
        self._directory = directory
        self._limits = limits
        self._sandbox = sandbox

    @asynccontextmanager
    async def laid_out(
        self,
        source: ArtifactSource,
        script: str,  # noqa: ARG002 - a bundle has one program
        report: StageReport,
        *,
        run_scripts: tuple[str, ...] = (),
    ) -> AsyncIterator[LaidPackage]:
        """The bundle (`PackageInstaller`)."""
        refuse_scripts(run_scripts, source)
        async with workshop(self._directory, self._limits, self._sandbox) as place:
            app = place.folder / "app"
            await report("install")
            digest = await asyncio.to_thread(self._unpack, Path(source.name), app)
            manifest = await asyncio.to_thread(_read_manifest, app)
            if manifest.server.type == "python":
                await report("compile")
                await asyncio.to_thread(place.hand_over, "app")
                await place.compile_bytecode("app", "/app")
                await asyncio.to_thread(place.look_through, "app")
            command, env = _start_of_bundle(manifest)
            _make_executable(app, manifest)
            yield LaidPackage(
                folder=app,
                runtime="" if manifest.server.type == "binary" else manifest.server.type,
                command=command,
                env=_ENV | env,
                lock=msgspec.json.encode({"bundle": f"sha256:{digest}"}),
                materials=(
                    ImageMaterial(
                        name=manifest.name,
                        version=manifest.version,
                        purl=f"pkg:generic/{_plain(manifest.name)}@{_plain(manifest.version)}",
                        digests=(f"sha256:{digest}",),
                    ),
                ),
                unconfined=place.unconfined,
            )

    async def compile_bytecode(self, directory: Path, named: str) -> None:
        """Write the bytecode of Python files (`BytecodeCompiler`)."""
        await compile_bytecode(directory, named)

    def _unpack(self, path: Path, app: Path) -> str:
        """Unpack it, every name and size looked at; its digest. Raises Invalid, LimitReached."""
        room = self._limits.bytes
        try:
            with path.open("rb") as file, zipfile.ZipFile(file) as bundle:
                if len(bundle.infolist()) > _MOST_FILES:
                    raise LimitReached(f"A bundle has at most {_MOST_FILES} files.")
                for info in bundle.infolist():
                    room -= _unpack_member(bundle, info, app, room)
                file.seek(0)
                return hashlib.file_digest(file, "sha256").hexdigest()
        except (OSError, zipfile.BadZipFile, RuntimeError) as fault:
            raise Invalid(
                f"{path.name} cannot be read as a bundle: {fault}",
                remedy="Name a .mcpb file on the gate's own machine by its whole path.",
            ) from fault


def _unpack_member(bundle: zipfile.ZipFile, info: zipfile.ZipInfo, app: Path, room: int) -> int:
    place, size, mode = app / _safe_name(info.filename), 0, info.external_attr >> 16
    if info.is_dir():
        place.mkdir(parents=True, exist_ok=True)
        return 0
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise Invalid(f"{info.filename[:80]!r} in the bundle is no file")
    place.parent.mkdir(parents=True, exist_ok=True)
    with bundle.open(info) as packed, place.open("xb") as file:
        while portion := packed.read(_PORTION):
            size += len(portion)
            if size > room:
                raise LimitReached(
                    "The bundle unpacks to more than may be built.",
                    remedy="Take a smaller one, or raise hosting.build_bytes.",
                )
            file.write(portion)
    place.chmod(0o755 if mode & 0o100 else 0o644)
    return size


def _safe_name(name: str) -> str:
    path = PurePosixPath(name)
    odd = not name.isprintable() or "\\" in name or len(path.parts) > 64
    if odd or path.is_absolute() or ".." in path.parts or not path.parts:
        raise Invalid(f"{name[:80]!r} in the bundle is no name of a file in it")
    return str(path)


def _read_manifest(app: Path) -> _BundleManifest:
    try:
        with (app / _MANIFEST).open("rb") as file:
            return msgspec.json.decode(file.read(_MANIFEST_BYTES), type=_BundleManifest)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise Invalid(f"the bundle has no manifest that can be read: {fault}") from fault


def _start_of_bundle(manifest: _BundleManifest) -> tuple[tuple[str, ...], dict[str, str]]:
    """The command and the variables, as they are in an image. Raises Invalid."""
    server = manifest.server
    if server.type == "uv":
        raise Invalid(
            "the bundle installs its packages when it starts, which an image does not",
            remedy="Take a bundle that holds them, or the package itself (pypi:NAME@VERSION).",
        )
    here = server.mcp_config.platform_overrides.get("linux", _StartWords())
    args = here.args or server.mcp_config.args
    env = {**server.mcp_config.env, **here.env}
    command = here.command or server.mcp_config.command
    program = _PROGRAMS.get(server.type) or _in_image(
        command or f"${{__dirname}}/{server.entry_point}"
    )
    words = [_in_image(each) for each in _given_words(args)]
    if not words and server.type != "binary":
        words = [f"/app/{_safe_name(server.entry_point)}"]
    kept = {name: _in_image(value) for name, value in env.items() if not _ASKED.search(value)}
    return (program, *words), kept


def _given_words(args: list[str]) -> list[str]:
    """The arguments up to the first that asks its user: those are given when it is added."""
    for index, each in enumerate(args):
        if _ASKED.search(each):
            before = args[:index]
            return before[:-1] if before and before[-1].startswith("-") else before
    return args


def _in_image(word: str) -> str:
    changed = word.replace("${__dirname}", "/app").replace("${/}", "/")
    return changed.replace("${pathSeparator}", "/").replace("${HOME}", "/tmp")  # noqa: S108


def _make_executable(app: Path, manifest: _BundleManifest) -> None:
    if manifest.server.type == "binary" and manifest.server.entry_point:
        place = app / _safe_name(manifest.server.entry_point)
        if place.is_file() and not place.is_symlink():
            place.chmod(0o755)


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)
