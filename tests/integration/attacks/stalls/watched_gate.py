"""A real gate whose event loop is watched: how long did it stand still, whoever it was for.

gate = WatchedGate(tmp_path / "gate")
with gate.running():
    gate.longest()          # begin anew
    ...
    assert gate.longest() < STALL

The process is the product's own but for a task beside it that measures; at SIGUSR2 it writes down
what it saw and begins anew. It is started as `python -m` of this very module, with a FILE first.
"""

import asyncio
import signal
import sys
import time
from pathlib import Path

from tests.fuzz.oracles import LoopWatch
from tests.gate import ROOT, WAIT, Gate


class WatchedGate(Gate):
    """A gate of which `longest` tells how long its loop stood still since the last question."""

    def __init__(self, directory: Path, *sets: str, **env: str) -> None:
        super().__init__(directory, *sets, PYTHONPATH=str(ROOT), **env)
        self._told = directory.parent / f"{directory.name}.loop"
        self._asked = 0

    def arguments(self, *command: str) -> list[str]:
        """A command line; the one that serves is the watched one."""
        program, *rest = super().arguments(*command)
        if command[0] != "up":
            return [program, *rest]
        return [
            program,
            "-m",
            "tests.integration.attacks.stalls.watched_gate",
            str(self._told),
            *rest[2:],
        ]

    def longest(self) -> float:
        """Seconds of processor time that the loop stood still at once, at most, since asked last.

        The answer comes from the loop itself: all that was sent before has been looked at.
        """
        assert self.process is not None
        self._asked += 1
        ends = time.monotonic() + WAIT
        self.process.send_signal(signal.SIGUSR2)
        while time.monotonic() < ends:
            told = self._told.read_text().split("\n") if self._told.exists() else []
            if len(told) > self._asked:
                return float(told[self._asked - 1])
            time.sleep(0.005)
        raise AssertionError(f"the loop did not answer within {WAIT} s: {self.stderr}")


def _watched(told: Path) -> None:
    """Have the serving coroutine run beside a watch."""
    from gatelodge.app import run

    serve = run._serve_until_stopped

    async def beside(*given: object, **more: object) -> None:
        async with LoopWatch() as watch:

            def tell() -> None:
                with told.open("a") as file:
                    file.write(f"{watch.worst:.6f}\n")
                watch.worst = 0.0

            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, tell)
            await serve(*given, **more)  # type: ignore[arg-type]

    run._serve_until_stopped = beside  # type: ignore[assignment]


if __name__ == "__main__":
    _watched(Path(sys.argv.pop(1)))
    from gatelodge.cli.main import main

    main()
