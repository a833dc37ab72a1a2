"""What every target has: a way to be prepared, started, spoken to and ended."""

import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

from msgspec import Struct

from bench import proc, wire


class Place(Struct, frozen=True):
    """One run's surroundings, the same for every target."""

    folder: Path  # the run's own, on the disk whose fdatasync is measured
    upstream_port: int
    era: str  # "modern" or "legacy": what a target speaks that can speak both

    def folder_of(self, name: str) -> Path:
        """Give a target's own folder, made if need be."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


class Target(ABC):
    """One gateway under measurement.

    It is prepared once in a run (configuration, registration of the upstream) and started anew
    in every round, so that each round has its own cold start and nobody else's idle process.
    """

    name: str
    title: str  # what it does beside forwarding, for the reader of the table
    most_connections = 100_000
    seconds_to_start = 60.0

    process: subprocess.Popen[bytes] | None = None

    def version(self) -> str:
        """Give the version that is measured, as the target itself names it."""
        return ""

    def absent(self) -> str | None:
        """Say why this target cannot be measured on this machine; None when it can."""
        return None

    @abstractmethod
    def prepare(self, place: Place) -> None:
        """Make ready what a start needs; whatever it costs is not measured."""

    @abstractmethod
    def spawn(self) -> None:
        """Start the process; set `process`."""

    @abstractmethod
    def door(self) -> wire.Door:
        """Say how to speak to it."""

    def start(self) -> tuple[wire.Shape, float]:
        """Start it, and give the call to measure and the seconds until its first good answer."""
        began = time.monotonic()
        self.spawn()
        problem: Exception = proc.Unready("never asked")
        while time.monotonic() < began + self.seconds_to_start:
            if self.process is not None and self.process.poll() is not None:
                raise proc.Unready(f"{self.name} ended with {self.process.returncode}")
            try:
                shape = wire.call_shape(self.door())
                wire.good_call(shape)
            except (OSError, wire.Refused, ValueError) as error:
                problem = error
                time.sleep(0.005)
            else:
                return shape, time.monotonic() - began
        raise proc.Unready(f"{self.name} gave no good answer: {problem}")

    def pids(self) -> list[int]:
        """Give the processes that its CPU time and memory are read from."""
        return [] if self.process is None else proc.tree(self.process.pid)

    def stop(self) -> None:
        if self.process is not None:
            proc.stop(self.process)
        self.process = None
