"""Packages of Node: locked and installed by their integrity values with `npm`, without scripts.

Those of packages that an operator named run afterwards (`scripts.py`). `npm` comes with the Node of
this machine; where packages come from is said by its own settings and by the variables of the gate
(`npm_config_...`).
"""

import asyncio
import base64
import binascii
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import quote

import msgspec

from gatelodge.adapters.runtime.packages.sandbox import ToolSandbox
from gatelodge.adapters.runtime.packages.scripts import run_package_scripts
from gatelodge.adapters.runtime.packages.settings import PackageSources, sources_of_node
from gatelodge.adapters.runtime.packages.tools import (
    ToolOutcome,
    compile_bytecode,
    without_credentials,
)
from gatelodge.adapters.runtime.packages.workshop import BuildLimits, PackageWorkshop, workshop
from gatelodge.core.errors import HouseError, Invalid, UpstreamUnreachable
from gatelodge.core.hosting.materials import ImageMaterial
from gatelodge.core.hosting.source import ArtifactSource
from gatelodge.ports.packages import LaidPackage, StageReport

_ENV: Final = {
    "HOME": "/tmp",  # noqa: S108 - in the instance, where it is its own
    "LANG": "C.UTF-8",
    "NODE_ENV": "production",
    "PATH": "/opt/node/bin:/usr/bin",
}
_AUTHORITIES: Final = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
_NOISE: Final = re.compile(r"npm (?:error|ERR!) ?|A complete log of this run can be found in:.*")
_SETTINGS: Final = "npmrc"
_QUIET: Final = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
_UNKNOWN: Final = ("code e404", "code etarget")
ALONE: Final = {
    # A package that asks for a repository has npm clone it and install what that needs, by the
    # settings that lie in it: these may name any program as its git.
    "npm_config_allow_git": "none",
    "npm_config_git": "/bin/false",
    "npm_config_allow_file": "none",
    "npm_config_allow_directory": "none",
    # Also for each npm that npm starts by itself.
    "npm_config_ignore_scripts": "true",
    "npm_config_update_notifier": "false",
}
"""Packages come as archives from where packages come from. Older releases of npm know the second
and the fifth alone, hence a look at the lock as well."""
_TAKE_ANOTHER: Final = "Take a package that needs packages alone, no repository and no file."
_ASKS_FOR_MORE: Final = ("code eallow", "git error", "git dep", "code enogit", "code enoent")


class NpmInstaller:
    """Fetches packages of Node into folders below a directory, one for each build."""

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
        if run_scripts:
            await self._sandbox.check_scripts()
        npm, wanted = _npm_program(), f"{source.name}@{source.version}"
        async with workshop(self._directory, self._limits, self._sandbox) as place:
            app = place.make_folder("app")
            wish = {"name": "app", "private": True, "dependencies": {source.name: source.version}}
            place.write("app/package.json", msgspec.json.encode(wish))
            sources = await asyncio.to_thread(sources_of_node, npm)
            place.write(_SETTINGS, "".join(f"{line}\n" for line in sources.lines).encode())
            await report("resolve")
            words = (npm, "install", "--package-lock-only", *_QUIET)
            await _run_npm(place, words, wanted, sources)
            await asyncio.to_thread(place.look_through, "app")
            lock = place.read("app/package-lock.json")
            _check_lock(wanted, lock)
            await report("install")
            await _run_npm(place, (npm, "ci", "--omit=dev", *_QUIET), wanted, sources)
            await asyncio.to_thread(place.look_through, "app")
            if run_scripts:
                await report("scripts")
                await run_package_scripts(place, npm, run_scripts, lock)
                await asyncio.to_thread(place.look_through, "app")
            shutil.rmtree(app / "node_modules" / ".bin", ignore_errors=True)
            # The lock is kept beside the image, without logins; these two would have them in it.
            for name in ("package-lock.json", "node_modules/.package-lock.json"):
                (app / name).unlink(missing_ok=True)
            path = _program_path(app / "node_modules" / source.name, source.name, script)
            yield LaidPackage(
                folder=app,
                runtime="node",
                command=("/opt/node/bin/node", f"/app/node_modules/{source.name}/{path}"),
                env=_ENV,
                lock=without_credentials(lock),
                materials=_materials(lock),
                unconfined=place.unconfined,
            )

    async def compile_bytecode(self, directory: Path, named: str) -> None:
        """Write the bytecode of Python files (`BytecodeCompiler`)."""
        await compile_bytecode(directory, named)


def _npm_program() -> str:
    found = shutil.which("npm")
    if found is None or shutil.which("node") is None:
        raise UpstreamUnreachable(
            "There is no npm on this machine, which lays out packages of Node.",
            remedy="Install Node 20 or later with npm, so that both are in the PATH of the gate.",
        )
    return found


async def _run_npm(
    place: PackageWorkshop, command: tuple[str, ...], wanted: str, sources: PackageSources
) -> None:
    done = await place.run(
        (command[0], "--prefix", "app", *command[1:]),
        _npm_variables(place, sources),
        beside=(shutil.which("node") or command[0],),
        files=(*sources.files, *_AUTHORITIES),
    )
    if done.status != 0:
        raise _failure_of(wanted, done)


def _npm_variables(place: PackageWorkshop, sources: PackageSources) -> dict[str, str]:
    """Where packages come from, as this machine's settings say it; a cache of the build."""
    folders = {Path(found).parent for each in ("npm", "node") if (found := shutil.which(each))}
    authorities = next((each for each in _AUTHORITIES if Path(each).is_file()), "")
    return {
        # As for uv: whom this machine trusts, where nothing else is said.
        **({"NODE_EXTRA_CA_CERTS": authorities} if authorities else {}),
        **sources.env,
        **ALONE,
        "npm_config_cache": str(place.folder / "cache"),
        "npm_config_userconfig": str(place.folder / _SETTINGS),
        "npm_config_globalconfig": str(place.folder / "none"),
        "PATH": os.pathsep.join([*sorted(map(str, folders)), os.defpath]),
    }


def _failure_of(wanted: str, done: ToolOutcome) -> HouseError:
    # Its file of log is gone with the folder of the build, so it is not named.
    said = _NOISE.sub("", done.last_words).strip()
    lower = done.errors.decode("utf-8", "replace").lower()
    if any(each in lower for each in _UNKNOWN):
        return Invalid(f"there is no {wanted}: {said}", remedy="Correct the name or the version.")
    if any(each in lower for each in _ASKS_FOR_MORE):
        return Invalid(f"{wanted} needs what is no package: {said}", remedy=_TAKE_ANOTHER)
    return UpstreamUnreachable(
        f"The packages of {wanted} could not be fetched: {said}",
        remedy="Check the network, and where npm takes packages from (npm config get registry).",
    )


def _check_lock(wanted: str, lock: bytes) -> None:
    """Refuse a lock that names more than archives by address and integrity value. Raises Invalid.

    What a package brings within itself has neither.
    """
    packages: dict[str, dict[str, Any]] = msgspec.json.decode(lock).get("packages", {})
    for path, each in packages.items():
        # Without a place it is one of the place that all come from, as settings of npm can say.
        place = str(each.get("resolved") or "https://")
        whole = place.startswith(("https://", "http://")) and each.get("integrity")
        if path and not each.get("inBundle") and (each.get("link") or not whole):
            name = path.rpartition("node_modules/")[2][:80]
            raise Invalid(
                f"{wanted} needs {name!r}, which is no package by its integrity value",
                remedy=_TAKE_ANOTHER,
            )


def _program_path(package: Path, name: str, script: str) -> str:
    """The file of the program to start, below the package. Raises Invalid."""
    try:
        described: Any = msgspec.json.decode((package / "package.json").read_bytes())
    except (OSError, msgspec.DecodeError) as fault:
        raise Invalid(f"{name} has no description of a package") from fault
    own, said = name.rpartition("/")[2], described.get("bin") or {}
    programs = {own: said} if isinstance(said, str) else dict(said)
    wanted = script or (own if own in programs else "")
    if not wanted and len(set(programs.values())) == 1:
        wanted = next(iter(programs))
    path = PurePosixPath(str(programs.get(wanted, "")))
    if wanted not in programs or path.is_absolute() or ".." in path.parts:
        there = ", ".join(sorted(map(str, programs))) or "none"
        raise Invalid(
            f"{name} does not say which of its programs is the server; it has: {there}",
            remedy="Name one of them: --script NAME." if programs else "It is no program.",
        )
    return str(path)


def _materials(lock: bytes) -> tuple[ImageMaterial, ...]:
    """The packages of a lock (package-lock.json, version 3), each with its integrity value."""
    packages: dict[str, dict[str, Any]] = msgspec.json.decode(lock).get("packages", {})
    found = set()
    for path, each in packages.items():
        name = str(each.get("name") or path.rpartition("node_modules/")[2])
        if not path or each.get("dev") or each.get("link"):
            continue
        version = str(each.get("version", ""))
        found.add(
            ImageMaterial(
                name=name,
                version=version,
                purl=f"pkg:npm/{quote(name, safe='/')}@{version}",
                digests=_hex_digests(str(each.get("integrity", ""))),
            )
        )
    return tuple(sorted(found))


def _hex_digests(integrity: str) -> tuple[str, ...]:
    """Integrity values (Subresource Integrity) in the form that a bill of materials has."""
    found = []
    for each in integrity.split():
        algorithm, _, value = each.partition("-")
        try:
            digest = base64.b64decode(value, validate=True).hex()
        except binascii.Error:
            continue
        if algorithm in ("sha256", "sha384", "sha512"):
            found.append(f"{algorithm}:{digest}")
    return tuple(found)
