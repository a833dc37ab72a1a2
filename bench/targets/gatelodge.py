"""gatelodge itself, one installation per durability, set up by its own commands."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from bench import TARGET_CORE, proc, wire
from bench.targets.target import Place, Target

PROGRAM = Path(sys.executable).with_name("gatelodge")
MEMBER = "bench@example.test"


class Gatelodge(Target):
    def __init__(self, durability: str, promise: str, era: str = "") -> None:
        """`era` is that of its client; without one, that of the whole run."""
        self.name = f"gatelodge-{era or durability}"
        self.title = f"token, permission, audit ({promise})"
        self._durability = durability
        self._own_era = era

    def version(self) -> str:
        return version("gatelodge")

    def absent(self) -> str | None:
        asked = subprocess.run([PROGRAM, "--help"], capture_output=True, check=False)
        return None if asked.returncode == 0 else "`gatelodge --help` fails in this tree"

    def prepare(self, place: Place) -> None:
        self._folder = place.folder_of(self.name)
        self._port = proc.free_port()
        self._era = self._own_era or place.era
        self._token: str | None = None
        upstream = f"http://127.0.0.1:{place.upstream_port}/mcp"
        self.spawn()
        assert self.process is not None
        try:
            proc.wait_for_port(self._port, self.process, self.seconds_to_start)
            self._do("server", "add", "stub", "--url", upstream, "--allow-private")
            self._do("server", "approve", "stub", "--yes")
            self._do("tool", "review", "stub", "echo", "--read-only", "--yes")
            self._do("member", "add", MEMBER)
            self._do("grant", "add", "--member", MEMBER, "--server", "stub", "--level", "all")
            said = self._do("token", "create", "--member", MEMBER, "--json")
            self._token = json.loads(said)["token"]
        finally:
            self.stop()

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _do(self, *words: str) -> str:
        done = subprocess.run(
            [PROGRAM, "--data-dir", self._folder / "state", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip() or done.stdout.strip()
            raise proc.Unready(f"gatelodge {words[0]} {words[1]}: {said[-500:]}")
        return done.stdout

    def spawn(self) -> None:
        sets = (
            f"audit.durability={self._durability}",
            # One member makes all calls and opens all streams here; the default is meant for many.
            "limits.calls_per_principal=1000",
            "limits.streams_per_principal=10000",
        )
        words = ["--data-dir", str(self._folder / "state")]
        for one in sets:
            words += ["--set", one]
        words += ["up", "--port", str(self._port)]
        self.process = proc.start([PROGRAM, *words], core=TARGET_CORE, log=self._log)

    def door(self) -> wire.Door:
        return wire.Door(self._port, "/k/main/mcp", "stub__echo", self._token, self._era)
