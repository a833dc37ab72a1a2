"""The container runtimes of this machine: where they are, which versions, what is known of those.

Which of them works is settled by a trial start (`runtime.py`): crun 1.8 is found, answers, and
refuses a machine with both versions of control groups.
"""

import asyncio
import re
import shutil
from typing import Final

from msgspec import Struct

from gatelodge.core.hosting.facts import IsolationTier

RUNTIMES: Final[dict[str, IsolationTier]] = {
    "runc": "standard",
    "crun": "standard",
    "runsc": "strong",
}
"""By name, what each can give; of one tier the first that works is used."""
_SECONDS = 10.0
_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FIRST_GOOD_SYSTRAP = "2023"
"""gVisor's releases bear dates; the platform systrap is in those from then on."""


class RuntimeProgram(Struct, frozen=True):
    """One container runtime: its name, its file, its version, and the build of a distribution."""

    name: str
    path: str
    version: str
    build: str = ""

    @property
    def label(self) -> str:
        """As it is shown: `runc 1.1.5`."""
        return f"{self.name} {self.version}".strip()

    @property
    def tier(self) -> IsolationTier:
        """What its containers can be."""
        return RUNTIMES[self.name]

    def command(self, state: str, log: str) -> list[str]:
        """Its command up to the word that says what to do; `state` is where it keeps records."""
        own = [self.path, "--root", state, "--log", log, "--log-format", "json"]
        if self.name == "runsc":
            return [*own, "--network=none", f"--platform={_platform(self.version)}"]
        return own


async def find_program(name: str) -> RuntimeProgram | None:
    """The runtime of that name, None when it is not there or does not answer."""
    path = shutil.which(name, path=_PLACES)
    if path is None:
        return None
    process = await asyncio.create_subprocess_exec(
        path,
        "--version",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PATH": _PLACES},
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), _SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return RuntimeProgram(name, path, *read_version(said.decode(errors="replace")))


def read_version(said: str) -> tuple[str, str]:
    """Version and build in what `--version` says; empty where it says none."""
    found = re.search(r"version:?\s+(?:release-)?v?(\d[^\s+]*)", said)
    build = re.search(r"^commit: (\S+)", said, re.MULTILINE)
    return found[1] if found else "", build[1] if build else ""


def known_faults(program: RuntimeProgram) -> tuple[str, ...]:
    """Holes that its version is known for, each with what keeps them shut here or what to do.

    A distribution may have mended its version: what Debian did stands in its build.
    """
    number = _number(program.version)
    if program.name != "runc" or not number:
        return ()
    found = []
    if number < (1, 1, 12) and "deb12u" not in program.build:
        found.append("CVE-2024-21626 (fixed in 1.1.12): leaks a directory of the machine")
    fixed = {2: 8, 3: 3}
    if number < (1, 2) or (number[:2] < (1, 4) and number[2] < fixed[number[1]]):
        found.append(
            "CVE-2025-31133, 52565, 52881 (fixed in 1.2.8, 1.3.3, 1.4.0): "
            "our containers' user namespaces keep them from reaching files of the machine's root"
        )
    return tuple(found)


def _platform(version: str) -> str:
    year = re.match(r"0\.0[~.](\d{4})|release-(\d{4})|(\d{4})", version)
    old = year is not None and next(filter(None, year.groups())) < _FIRST_GOOD_SYSTRAP
    return "ptrace" if old else "systrap"


def _number(version: str) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    return tuple(int(each) for each in found.groups()) if found else ()
