"""The servers of the demo: packages that become images, and run in a sandbox like any other.

A package index that cannot be reached leaves those that are installed beside the gate: they run as
commands of this machine, in whatever isolation it has for those.
"""

import importlib.util
import os
import sys
from typing import Final

from msgspec import Struct

from gatelodge.adapters.runtime.process.exec_permissions import PATH, barred
from gatelodge.core.catalog.server import (
    ArtifactTransport,
    RunAs,
    StdioTransport,
    Transport,
)
from gatelodge.core.errors import HouseError
from gatelodge.flows.hosting.artifacts import ArtifactBuild, ArtifactWish, BuiltArtifact


class DemoServer(Struct, frozen=True, kw_only=True):
    """A server of the demo; `module` is the one that stands in for it when it cannot be built."""

    alias: str
    source: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    programs: tuple[str, ...] = ()
    module: str = ""

    @property
    def wish(self) -> ArtifactWish:
        """What is built for it."""
        return ArtifactWish(source=self.source, programs=self.programs)


_NPM: Final = "npm:@modelcontextprotocol/server-"
SERVERS: Final = (
    DemoServer(alias="time", source="pypi:mcp-server-time@2026.10.19", module="mcp_server_time"),
    DemoServer(
        alias="git",
        source="pypi:mcp-server-git@2026.10.19",
        programs=("git",),
        module="mcp_server_git",
    ),
    DemoServer(alias="everything", source=f"{_NPM}everything@2026.8.31"),
    # These two keep files: below /tmp, which is the instance's own and goes with it.
    DemoServer(alias="filesystem", source=f"{_NPM}filesystem@2026.8.31", args=("/tmp",)),  # noqa: S108 - its own
    DemoServer(
        alias="memory",
        source=f"{_NPM}memory@2026.8.31",
        env={"MEMORY_FILE_PATH": "/tmp/memory.jsonl"},  # noqa: S108 - its own
    ),
)


class BuiltDemoServer(Struct, frozen=True, kw_only=True):
    """How a server of the demo is reached, None when it cannot be, and what is said of that."""

    transport: Transport | None
    says: str


async def build_server(
    artifacts: ArtifactBuild, offer: DemoServer, first_uid: int
) -> BuiltDemoServer:
    """Its image, built or found; else the module beside the gate."""

    async def unheard(_stage: str) -> None:
        """Nobody waits for single steps of the demo."""

    try:
        built = await artifacts.build(offer.wish, unheard)
    except HouseError as fault:
        command = _command_beside_gate(offer, first_uid)
        instead = "; the one beside the gate is used" if command else ", and is left out"
        remedy = f" ({fault.remedy})" if fault.remedy else ""
        says = f"{offer.alias} is not built: {fault.detail.rstrip('.')}{remedy}{instead}"
        return BuiltDemoServer(transport=command, says=says)
    transport = ArtifactTransport(
        source=offer.source, image=built.image, args=offer.args, env=offer.env
    )
    return BuiltDemoServer(transport=transport, says=f"{offer.alias} {_in_words(built)}")


def _in_words(built: BuiltArtifact) -> str:
    if built.reused:
        return "was built before"
    seconds = sum(each.milliseconds for each in built.stages) / 1000
    size = built.size / (1 << 20)
    return f"is built: {built.packages} packages, {size:.0f} MiB, {seconds:.0f} s"


def _command_beside_gate(offer: DemoServer, first_uid: int) -> StdioTransport | None:
    if not offer.module or importlib.util.find_spec(offer.module) is None:
        return None
    # A Python that stands in somebody's closed home cannot be run by a uid of its own.
    own = os.geteuid() == 0 and not barred(sys.executable, PATH, first_uid)
    run_as: RunAs = "own" if own else "gateway"
    return StdioTransport(command=(sys.executable, "-m", offer.module), run_as=run_as)
