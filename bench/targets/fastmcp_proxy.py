"""FastMCP's `create_proxy(url)`, the shortest gateway there is."""

import secrets
from pathlib import Path

from bench import TARGET_CORE, proc, wire
from bench.prepare import FASTMCP, installed
from bench.targets.target import Place, Target

SERVE = Path(__file__).with_name("fastmcp_serve.py")


class FastmcpProxy(Target):
    name = "fastmcp-proxy"
    title = "`create_proxy(url)` as documented: static token, no permission, no record"
    most_connections = 32

    def version(self) -> str:
        return installed(FASTMCP).version

    def absent(self) -> str | None:
        return installed(FASTMCP).missing

    def prepare(self, place: Place) -> None:
        self._folder = place.folder_of(self.name)
        self._upstream = f"http://127.0.0.1:{place.upstream_port}/mcp"
        token = secrets.token_urlsafe(24)
        self._door = wire.Door(proc.free_port(), token=token, era=place.era)

    def spawn(self) -> None:
        assert self._door.token is not None
        port = str(self._door.port)
        self.process = proc.start(
            [FASTMCP.python, SERVE, self._upstream, port, self._door.token],
            core=TARGET_CORE,
            log=self._folder / "log",
            cwd=self._folder,
        )

    def door(self) -> wire.Door:
        return self._door
