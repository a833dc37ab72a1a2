"""Packages of Python: locked and installed by their hashes with `uv`, from wheels alone.

A wheel is unpacked, never run; a source distribution would run code of its own while it is built.
Where packages come from is said by the environment of the gate, as for `uv` and `pip` themselves.
"""

import asyncio
import configparser
import shutil
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from gatelodge.adapters.runtime.packages.sandbox import ToolSandbox
from gatelodge.adapters.runtime.packages.settings import sources_of_python
from gatelodge.adapters.runtime.packages.tools import (
    ToolOutcome,
    base_interpreter,
    compile_bytecode,
    without_credentials,
)
from gatelodge.adapters.runtime.packages.workshop import BuildLimits, PackageWorkshop, workshop
from gatelodge.core.errors import HouseError, Invalid, UpstreamUnreachable
from gatelodge.core.hosting.materials import ImageMaterial
from gatelodge.core.hosting.scripts import refuse_scripts
from gatelodge.core.hosting.source import ArtifactSource
from gatelodge.ports.packages import LaidPackage, StageReport

_ENV: Final = {
    "HOME": "/tmp",  # noqa: S108 - in the instance, where it is its own
    "LANG": "C.UTF-8",
    "PATH": "/opt/python/bin:/usr/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt",
}
_NO_WHEEL: Final = ("no wheels", "no usable wheels", "only-binary", "no-build")
_UNKNOWN: Final = ("no version of", "was not found in", "no matching version")


class PypiInstaller:
    """Fetches packages of Python into folders below a directory, one for each build."""

    def __init__(self, directory: Path, limits: BuildLimits, sandbox: ToolSandbox) -> None:
        self._directory = directory
        self._limits = limits
        self._sandbox = sandbox

    @asynccontextmanager
    async def laid_out(
        self,
        source: ArtifactSource,
        script: str,
        report: StageReport,
        *,
        run_scripts: tuple[str, ...] = (),
    ) -> AsyncIterator[LaidPackage]:
        """The package (`PackageInstaller`)."""
        refuse_scripts(run_scripts, source)
        async with workshop(self._directory, self._limits, self._sandbox) as place:
            app, wanted = place.make_folder("app"), f"{source.name}=={source.version}"
            await report("resolve")
            lock = await self._lock_packages(place, wanted)
            await report("install")
            await self._install_packages(place, wanted)
            await report("compile")
            await asyncio.to_thread(place.look_through, "app")
            await asyncio.to_thread(_remove_launchers, app)
            module, function, called = _entry_point(app, source.name, script)
            await place.compile_bytecode("app", "/app")
            await asyncio.to_thread(place.look_through, "app")
            yield LaidPackage(
                folder=app,
                runtime="python",
                command=_start_command(module, function, called),
                env=_ENV,
                lock=without_credentials(lock),
                materials=_materials(lock),
                unconfined=place.unconfined,
            )

    async def compile_bytecode(self, directory: Path, named: str) -> None:
        """Write the bytecode of Python files (`BytecodeCompiler`)."""
        await compile_bytecode(directory, named)

    async def _lock_packages(self, place: PackageWorkshop, wanted: str) -> bytes:
        place.write("wanted.txt", f"{wanted}\n".encode())
        done = await _run_uv(
            place,
            (
                *(_uv_program(), "pip", "compile", "wanted.txt", "--quiet", "--no-header"),
                *("--format", "pylock.toml", "--output-file", "pylock.toml", "--generate-hashes"),
                *("--only-binary", ":all:", "--python", base_interpreter()),
            ),
        )
        if done.status != 0:
            raise _failure_of(wanted, done)
        return place.read("pylock.toml")

    async def _install_packages(self, place: PackageWorkshop, wanted: str) -> None:
        done = await _run_uv(
            place,
            (
                *(_uv_program(), "pip", "install", "--quiet", "--requirements", "pylock.toml"),
                *("--target", "app", "--require-hashes", "--no-deps", "--only-binary", ":all:"),
                *("--python", base_interpreter(), "--link-mode", "copy"),
            ),
        )
        if done.status != 0:
            raise _failure_of(wanted, done)


def _uv_program() -> str:
    from uv import find_uv_bin

    try:
        return find_uv_bin()
    except FileNotFoundError:
        found = shutil.which("uv")
    if found is None:
        raise UpstreamUnreachable(
            "There is no uv on this machine, which lays out packages of Python.",
            remedy="Install gatelodge anew, or uv itself.",
        )
    return found


async def _run_uv(place: PackageWorkshop, command: tuple[str, ...]) -> ToolOutcome:
    """Run it, told where packages come from by this machine's settings; a cache of the build."""
    sources = await asyncio.to_thread(sources_of_python)
    # Whom this machine trusts: the authorities of a company are there, and not in what uv brings.
    trusted = {} if "UV_NATIVE_TLS" in sources.env else {"UV_SYSTEM_CERTS": "1"}
    own = {"UV_CACHE_DIR": str(place.folder / "cache"), "UV_NO_PROGRESS": "1", "UV_NO_CONFIG": "1"}
    env = {**trusted, **sources.env, **own}
    return await place.run(command, env, beside=(base_interpreter(),), files=sources.files)


def _failure_of(wanted: str, done: ToolOutcome) -> HouseError:
    """What a failed uv means for whoever asked for the package."""
    said, lower = done.last_words, done.errors.decode("utf-8", "replace").lower()
    if any(each in lower for each in _NO_WHEEL):
        return Invalid(
            f"{wanted}, or something that it needs, has no wheel for this machine: {said}",
            remedy="Building one would run its code. Take another version, or build wheels in a "
            "place of yours and name it with UV_FIND_LINKS.",
        )
    if any(each in lower for each in _UNKNOWN):
        return Invalid(f"there is no {wanted}: {said}", remedy="Correct the name or the version.")
    return UpstreamUnreachable(
        f"The packages of {wanted} could not be fetched: {said}",
        remedy="Check the network, and where packages come from (UV_DEFAULT_INDEX, PIP_INDEX_URL).",
    )


def _remove_launchers(app: Path) -> None:
    """Remove scripts and what names this machine: an image is started by module and function."""
    shutil.rmtree(app / "bin", ignore_errors=True)
    for each in (".lock", "_virtualenv.py"):
        (app / each).unlink(missing_ok=True)
    for record in app.glob("*.dist-info/RECORD"):
        lines = record.read_text("utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith(("bin/", "../../bin/"))]
        record.write_text("".join(sorted(kept)), "utf-8")


def _entry_point(app: Path, package: str, script: str) -> tuple[str, str, str]:
    """Module, function and name of the program to start. Raises Invalid."""
    own = package.lower().replace("_", "-").replace(".", "-")
    scripts: dict[str, str] = {}
    for folder in app.glob("*.dist-info"):
        name = folder.name.partition("-")[0].lower().replace("_", "-").replace(".", "-")
        if name == own:
            scripts = _console_scripts(folder / "entry_points.txt")
    wanted = script or (own if own in scripts else "")
    if not wanted and len(scripts) == 1:
        wanted = next(iter(scripts))
    target = scripts.get(wanted, "")
    module, colon, function = target.partition("[")[0].strip().partition(":")
    # These two become a line of a program: nothing but dotted names may stand in it.
    if not colon or not all(_is_dotted_name(each) for each in (module, function)):
        there = ", ".join(sorted(scripts)) or "none"
        raise Invalid(
            f"{package} does not say which of its programs is the server; it has: {there}",
            remedy="Name one of them: --script NAME." if scripts else "It is no program.",
        )
    return module, function, wanted


def _console_scripts(path: Path) -> dict[str, str]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # names keep their case
    try:
        parser.read_string(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return {}
    return dict(parser["console_scripts"]) if parser.has_section("console_scripts") else {}


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))


def _start_command(module: str, function: str, called: str) -> tuple[str, ...]:
    first, _, rest = function.partition(".")
    call = f"{first}.{rest}" if rest else first
    text = (
        f"import site, sys; sys.argv[0] = {called!r}; site.addsitedir('/app'); "
        f"from {module} import {first}; sys.exit({call}())"
    )
    # -P and -s: neither the working directory nor a home adds modules.
    return ("/opt/python/bin/python3", "-P", "-s", "-c", text)


def _materials(lock: bytes) -> tuple[ImageMaterial, ...]:
    """The packages of a lock (pylock.toml, PEP 751), each with the hash of its wheel."""
    packages: list[dict[str, Any]] = tomllib.loads(lock.decode()).get("packages", [])
    found = []
    for each in packages:
        name, version = str(each["name"]), str(each.get("version", ""))
        wheels = [*each.get("wheels", ()), *([each["archive"]] if "archive" in each else ())]
        hashes = {h for wheel in wheels for h in [wheel.get("hashes", {}).get("sha256")] if h}
        found.append(
            ImageMaterial(
                name=name,
                version=version,
                purl=f"pkg:pypi/{name}@{version}",
                digests=tuple(f"sha256:{each}" for each in sorted(hashes)),
            )
        )
    return tuple(sorted(found))
