"""Runs the install scripts of packages of Node that an operator named, in the jail of builds.

They see what every tool of a build sees, and no network: what opens a registry is gone before.
What they write can be run, there alone, and is in the image afterwards.
"""

import asyncio
import os
import re
import shutil
from pathlib import Path
from typing import Any, Final

import msgspec

from gatelodge.adapters.runtime.packages.tools import ToolOutcome, without_credentials
from gatelodge.adapters.runtime.packages.workshop import PackageWorkshop
from gatelodge.adapters.runtime.process.supervisor import remove_tree
from gatelodge.core.errors import Invalid

_WANTS_NETWORK: Final = re.compile(
    r"EAI_AGAIN|ENOTFOUND|ENETUNREACH|ECONNREFUSED|EAFNOSUPPORT|getaddrinfo|socket|"
    r"resolve host|name resolution|network is unreachable|fetch failed",
    re.IGNORECASE,
)
_BRING: Final = (
    "Take a version that brings all that it installs, or add what the script fetches by a package "
    "of its own (often one for each platform)."
)
_SEE: Final = (
    "See what its script needs: compilers and headers are those of this machine. Or take another "
    "version, or another package."
)
_OF_INSTALL: Final = frozenset(("preinstall", "install", "postinstall"))


async def run_package_scripts(
    place: PackageWorkshop, npm: str, names: tuple[str, ...], lock: bytes
) -> None:
    """Run them in the folder `app`, where all is installed and was looked through.

    Raises Invalid (no such package, no script, or one that fails), UpstreamUnreachable,
    LimitReached.
    """
    await asyncio.to_thread(_check_names, place, names, lock)
    await asyncio.to_thread(_forget_registries, place)
    done = await place.run(
        (npm, "--prefix", "app", "rebuild", *names, "--foreground-scripts", "--loglevel=error"),
        _variables(place),
        beside=(shutil.which("node") or npm,),
        fetches=False,
        scripts=True,
    )
    if done.status != 0:
        raise _failure_of(names, done)


def _check_names(place: PackageWorkshop, names: tuple[str, ...], lock: bytes) -> None:
    packages: dict[str, dict[str, Any]] = msgspec.json.decode(lock).get("packages", {})
    there = {
        path.rpartition("node_modules/")[2]
        for path in packages
        if path and _has_script(place.folder / "app" / path)
    }
    for each in names:
        if each not in there:
            raise Invalid(
                f"run_scripts: {each[:80]!r} is no package here that has a script to run",
                remedy=f"Those that have one: {', '.join(sorted(there)) or 'none; take it away'}.",
            )


def _has_script(package: Path) -> bool:
    """By its own description: not each registry tells of it."""
    if (package / "binding.gyp").is_file():
        return True
    try:
        scripts = msgspec.json.decode((package / "package.json").read_bytes()).get("scripts", {})
        return bool(_OF_INSTALL & scripts.keys())
    except (OSError, msgspec.DecodeError, AttributeError):
        return False


def _forget_registries(place: PackageWorkshop) -> None:
    """Take away whatever may hold what opens a registry: scripts of strangers can read it."""
    (place.folder / "npmrc").unlink(missing_ok=True)
    remove_tree(str(place.folder / "cache"))
    # Without it npm reads the packages themselves, and finds each script.
    (place.folder / "app/node_modules/.package-lock.json").unlink(missing_ok=True)
    lock = "app/package-lock.json"
    place.rewrite(lock, without_credentials(place.read(lock)))


def _variables(place: PackageWorkshop) -> dict[str, str]:
    node = Path(shutil.which("node") or "/usr/bin/node").resolve()
    folders = {Path(found).parent for each in ("npm", "node") if (found := shutil.which(each))}
    headers = node.parent.parent
    return {
        "npm_config_cache": str(place.folder / "cache-of-scripts"),
        "npm_config_userconfig": str(place.folder / "none"),
        "npm_config_globalconfig": str(place.folder / "none-global"),
        "npm_config_offline": "true",
        "npm_config_update_notifier": "false",
        # What compiles wants the headers of Node, which it would else fetch.
        **({"npm_config_nodedir": str(headers)} if (headers / "include/node").is_dir() else {}),
        "PATH": os.pathsep.join([*sorted(map(str, folders)), os.defpath]),
    }


def _failure_of(names: tuple[str, ...], done: ToolOutcome) -> Invalid:
    said = (done.errors + done.output).decode("utf-8", "replace")
    told = f"of {', '.join(names)} failed: {done.last_words}"
    if _WANTS_NETWORK.search(said):
        text = f"a script wanted the network, which scripts do not have; what ran {told}"
        return Invalid(text, remedy=_BRING)
    return Invalid(f"the scripts {told}", remedy=_SEE)
