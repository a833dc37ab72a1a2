"""The same server behind a gate: calls a second, CPU a call, and a call that starts it first."""

import json
import time
from pathlib import Path

from msgspec import Struct

from bench import TARGET_CORE, proc, wire
from bench.hosting.kinds import PYTHON, SERVER, SOURCE, HostedKind
from bench.run import Stretch, load, load_command
from bench.targets.gatelodge import MEMBER, PROGRAM, Gatelodge

WARM_UP, SECONDS = 0.3, 2.0
IDLE_SECONDS = 3
CONNECTIONS = (1, 32)


class Burst(Struct, frozen=True):
    connections: int
    rps: float
    cpu_us: float
    bad: int


class HostingGate(Gatelodge):
    """One gate with a server for each of the kinds that it can run at once."""

    def __init__(self, folder: Path, caches: str, kinds: list[HostedKind]) -> None:
        super().__init__("strict", "")
        self._folder, self._caches, self._kinds = folder, caches, kinds
        self._era = "modern"

    @property
    def data(self) -> Path:
        return self._folder / "state"

    def set_up(self) -> None:
        """Describe the servers, approve them and make a member who may call them."""
        self._port, self._token = proc.free_port(), None
        self.spawn()
        assert self.process is not None
        proc.wait_for_port(self._port, self.process, self.seconds_to_start)
        self._do("member", "add", MEMBER)
        for kind in self._kinds:
            self._do("server", "add", kind.name, *self._how(kind))
            self._do("server", "approve", kind.name, "--yes")
            self._do("grant", "add", "--member", MEMBER, "--server", kind.name, "--level", "all")
        said = self._do("token", "create", "--member", MEMBER, "--json")
        self._token = json.loads(said)["token"]

    def _how(self, kind: HostedKind) -> tuple[str, ...]:
        if not kind.runtime:
            return ("--run-as", "gateway", "--", PYTHON, str(SERVER))
        # What was built already is found by what was asked for.
        return (SOURCE, "--tier", kind.tier)

    def spawn(self) -> None:
        runtime = next((kind.runtime for kind in self._kinds if kind.runtime), "auto")
        sets = (
            "audit.durability=strict",
            "limits.calls_per_principal=1000",
            "hosting.plain_commands=process",
            f"hosting.runtime={runtime}",
            f"hosting.idle_seconds={IDLE_SECONDS}",
            f"hosting.cache_dir={self._caches}",
        )
        words = ["--data-dir", str(self.data)]
        for one in sets:
            words += ["--set", one]
        words += ["up", "--port", str(self._port)]
        self.process = proc.start([PROGRAM, *words], core=TARGET_CORE, log=self._log)

    def shape_of(self, kind: HostedKind) -> wire.Shape:
        door = wire.Door(self._port, "/k/main/mcp", f"{kind.name}__echo", self._token, self._era)
        return wire.call_shape(door)

    def burst(self, kind: HostedKind, connections: int) -> Burst:
        wire.good_call(self.shape_of(kind))  # it may have been idle for too long
        how = Stretch(connections, WARM_UP, SECONDS)
        report, cpu = load(load_command(self.shape_of(kind), how, self._folder), self.pids())
        each = cpu / report["requests"] * 1e6 if report["requests"] else 0.0
        return Burst(connections, report["rps"], each, int(report["bad"]))

    def running(self) -> set[str]:
        """The servers that have an instance now."""
        return {each["server"] for each in json.loads(self._do("ps", "--json"))}

    def wait_until_idle(self) -> None:
        """Wait until those that can be scaled to zero are; raises Unready when they never are."""
        end = time.monotonic() + IDLE_SECONDS * 6
        while self.running() & {kind.name for kind in self._kinds if kind.runtime}:
            if time.monotonic() > end:
                raise proc.Unready("its servers were not ended for being idle")
            time.sleep(0.2)

    def cold_call(self, kind: HostedKind) -> float:
        """Milliseconds of a call that has its server started first."""
        began = time.monotonic()
        wire.good_call(self.shape_of(kind))
        return (time.monotonic() - began) * 1000
