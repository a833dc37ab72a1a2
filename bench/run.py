"""The interleaved run: in every round every target is started, loaded and ended, one by one."""

import datetime as dt
import json
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from bench import BUILD, LOAD_CORE, machine, proc, wire
from bench.results import Failure, Results, Sample, Start, Streams, Subject
from bench.targets import Place, Target

SOURCES = Path(__file__).parent
MOST_STREAMS = 1000
WARM_STREAMS = 500
SETTLE_SECONDS = 3  # until the records of opened streams are in the log and signed: they idle then
TURNS = 5  # answers on every connection, at least, in a stretch of load
MOST_SECONDS = 12.0


class Plan(Struct, frozen=True):
    rounds: int = 3
    seconds: float = 2
    warm_up: float = 0.5
    connections: Sequence[int] = (1, 32, 256)
    era: str = "modern"
    answer_bytes: int = 110
    delay_ms: int = 0  # until the upstream answers


class Stub:
    """The upstream that all targets share, on the load generator's core."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.port = proc.free_port()
        program = proc.compile_c(SOURCES / "stub.c", BUILD)
        log = folder / "stub.log"
        command = [str(program), "--port", str(self.port), "--answer", str(plan.answer_bytes)]
        command += ["--delay-ms", str(plan.delay_ms)]
        self.process = proc.start(command, core=LOAD_CORE, log=log)
        proc.wait_for_port(self.port, self.process, 5)


class Stretch(Struct, frozen=True):
    """How one target is loaded once."""

    connections: int
    warm_up: float
    seconds: float


def stretch(plan: Plan, connections: int, before: Sample | None) -> Stretch:
    """Give a stretch in which every connection sees several answers, however slow the target.

    What a call cost in the target's last stretch says how long one round over all connections
    will take on its one core.
    """
    turn = 0.0 if before is None else before.cpu_us / 1e6 * connections
    return Stretch(
        connections,
        warm_up=min(max(plan.warm_up, turn), MOST_SECONDS),
        seconds=min(max(plan.seconds, TURNS * turn), MOST_SECONDS),
    )


def load_command(shape: wire.Shape, how: Stretch, folder: Path) -> list[str]:
    body = folder / "body.json"
    body.write_text(shape.body)
    program = proc.compile_c(SOURCES / "load.c", BUILD)
    command = ["taskset", "-c", str(LOAD_CORE), str(program)]
    command += ["--port", str(shape.port), "--path", shape.path, "--body", str(body)]
    command += ["--connections", str(how.connections)]
    command += ["--seconds", str(how.seconds), "--warm-up", str(how.warm_up)]
    for name, value in shape.headers.items():
        command += ["--header", f"{name}: {value}"]
    return command


def load(command: Sequence[str], pids: Sequence[int]) -> tuple[dict[str, float], float]:
    """Run the load generator; give its report and the targets' CPU seconds while it measured."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # "measuring"
        before = proc.cpu_seconds(pids)
        report = process.stdout.readline()
        spent = proc.cpu_seconds(pids) - before
    if not report:
        raise proc.Unready(f"the load generator ended with {process.returncode}")
    return json.loads(report), spent


class Run:
    """One run over some targets; `results` grows as it goes."""

    def __init__(self, plan: Plan, targets: Sequence[Target], folder: Path) -> None:
        self._plan = plan
        self._targets = list(targets)
        self._folder = folder
        self._pids_of_stub: list[int] = []
        self.results = Results(
            taken=dt.datetime.now(dt.UTC).date().isoformat(),
            era=plan.era,
            rounds=plan.rounds,
            seconds=plan.seconds,
            connections=list(plan.connections),
            answer_bytes=plan.answer_bytes,
            delay_ms=plan.delay_ms,
            machine=machine.describe(folder),
            subjects=[],
        )

    def whole(self) -> Results:
        stub = Stub(self._folder, self._plan)
        self._pids_of_stub = [stub.process.pid]
        try:
            self._prepare(Place(self._folder, stub.port, self._plan.era))
            for number in range(self._plan.rounds):
                self.results.commits.append(machine.bare_commit(self._folder))
                for target in self._targets:
                    self._guarded(target, number)
            self._hold_streams()
        finally:
            proc.stop(stub.process)
        return self.results

    def _prepare(self, place: Place) -> None:
        """Prepare every target; who cannot be had stays in the table with the reason."""
        for target in list(self._targets):
            missing = target.absent()
            if missing is None:
                _say(f"preparing {target.name}")
                try:
                    target.prepare(place)
                except proc.Unready as error:
                    missing = f"could not be set up: {error}"
                except (OSError, subprocess.SubprocessError) as error:
                    # its text may hold the command, which is nobody's to read in a report
                    missing = f"could not be set up: {type(error).__name__}"
            if missing is not None:
                _say(f"{target.name}: {missing}")
                self._targets.remove(target)
            version = target.version() if missing is None else ""
            self.results.subjects.append(
                Subject(target.name, target.title, version, target.most_connections, missing)
            )

    def _guarded(self, target: Target, number: int) -> None:
        try:
            self._one_round(target, number)
        except (proc.Unready, wire.Refused, OSError) as error:
            _say(f"{target.name}: {error}")
            self.results.failures.append(Failure(target.name, str(error)))
        finally:
            target.stop()

    def _one_round(self, target: Target, number: int) -> None:
        shape, seconds = target.start()
        memory = proc.pss_mib(target.pids() or self._pids_of_stub)
        self.results.starts.append(Start(target.name, number, seconds, memory))
        sample = None
        for connections in self._plan.connections:
            if connections <= target.most_connections:
                how = stretch(self._plan, connections, sample)
                sample = self._measure(target, shape, number, how)
                self.results.samples.append(sample)
                _say(
                    f"{number + 1}/{self._plan.rounds} {target.name} c={connections}: "
                    f"{sample.rps:.0f}/s p50 {sample.p50:.3f} ms, {sample.cpu_us:.0f} us/call, "
                    f"{sample.pss_mib:.0f} MiB, bad {sample.bad}"
                )

    def _measure(self, target: Target, shape: wire.Shape, number: int, how: Stretch) -> Sample:
        pids = target.pids() or self._pids_of_stub
        command = load_command(shape, how, self._folder)
        report, cpu = load(command, pids)
        if report["bad"]:
            _say(f"{target.name} c={how.connections}: {report}")
        return Sample(
            target=target.name,
            round=number,
            connections=how.connections,
            seconds=report["seconds"],
            requests=int(report["requests"]),
            rps=report["rps"],
            p50=report["p50"] / 1000,
            p99=report["p99"] / 1000,
            bad=int(report["bad"]),
            cpu_us=cpu / report["requests"] * 1e6 if report["requests"] else 0,
            pss_mib=proc.pss_mib(pids),
        )

    def _hold_streams(self) -> None:
        """See what an idle listen stream costs; only gatelodge is asked."""
        for target in self._targets:
            if target.name != "gatelodge-strict" or self._plan.era != "modern":
                continue
            try:
                target.start()
                with ExitStack() as stack:
                    shape = wire.listen_shape(target.door())
                    # What the first ones load, and the room they make, counts for none.
                    wire.hold_streams(shape, WARM_STREAMS, stack)
                    time.sleep(SETTLE_SECONDS)
                    before = proc.pss_mib(target.pids())
                    wire.hold_streams(shape, MOST_STREAMS, stack)
                    time.sleep(SETTLE_SECONDS)
                    each = (proc.pss_mib(target.pids()) - before) * 1024 / MOST_STREAMS
                self.results.streams.append(Streams(target.name, MOST_STREAMS, each))
                _say(f"{target.name}: {each:.1f} KiB an idle stream")
            except (proc.Unready, wire.Refused, OSError) as error:
                self.results.failures.append(Failure(target.name, f"idle streams: {error}"))
            finally:
                target.stop()


def _say(text: str) -> None:
    print(text, flush=True)
