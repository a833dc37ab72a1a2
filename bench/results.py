"""What a run leaves: every sample as it was measured, and the medians that the report shows."""

from collections.abc import Iterable, Sequence
from statistics import median

from msgspec import Struct

from bench.machine import Commit, Machine


class Subject(Struct, frozen=True):
    """Who was measured, or why not."""

    name: str
    title: str
    version: str
    most_connections: int
    missing: str | None = None


class Start(Struct, frozen=True):
    target: str
    round: int
    seconds: float  # from the start of the process to its first good answer
    pss_mib: float  # right after that


class Sample(Struct, frozen=True):
    """One stretch of load on one target; times in milliseconds."""

    target: str
    round: int
    connections: int
    seconds: float
    requests: int
    rps: float
    p50: float
    p99: float
    bad: int
    cpu_us: float  # of the target's processes, per call
    pss_mib: float  # right after the load


class Streams(Struct, frozen=True):
    """Idle listen streams on one target."""

    target: str
    count: int
    kib_each: float


class Failure(Struct, frozen=True):
    target: str
    what: str


class Results(Struct):
    taken: str  # day, in UTC
    era: str
    rounds: int
    seconds: float
    connections: Sequence[int]
    answer_bytes: int
    delay_ms: int
    machine: Machine
    subjects: list[Subject]
    starts: list[Start] = []
    samples: list[Sample] = []
    commits: list[Commit] = []
    streams: list[Streams] = []
    failures: list[Failure] = []

    def rows(self, target: str, connections: int) -> list[Sample]:
        return [s for s in self.samples if (s.target, s.connections) == (target, connections)]

    def middle(self, target: str, connections: int, what: str) -> float | None:
        """Give the median of one figure over the rounds; None when it was not measured."""
        return middle(getattr(row, what) for row in self.rows(target, connections) if row.requests)

    def ratio(self, target: str, other: str, connections: int) -> float | None:
        """Give the median, over the rounds, of one target's calls a second by another's.

        Both stand in the same round, so that what slows the whole machine for a while counts
        for both.
        """
        theirs = {s.round: s.rps for s in self.rows(other, connections) if s.rps}
        ours = self.rows(target, connections)
        return middle(s.rps / theirs[s.round] for s in ours if s.round in theirs)

    def memory(self, target: str) -> float | None:
        """Give the largest memory that was seen, in MiB."""
        seen = [s.pss_mib for s in self.samples if s.target == target]
        return max(seen) if seen else None

    def cold_start(self, target: str) -> float | None:
        return middle(s.seconds for s in self.starts if s.target == target)


def middle(values: Iterable[float]) -> float | None:
    held = list(values)
    return median(held) if held else None
