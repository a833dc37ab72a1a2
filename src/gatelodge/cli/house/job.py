"""`gatelodge job`: work that is longer than a request."""

import sys
from collections.abc import Callable
from threading import Event
from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.client import path_of
from gatelodge.cli.lazy import group
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Conflict, GateUnreachable
from gatelodge.web import problems

_COLUMNS = ("id", "kind", "state", "done", "total", "started_by", "asked_at")
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0

job = group("job", "Work that is longer than a request.")


@job.command("list")
@click.pass_obj
def list_(terminal: CommandRun) -> None:
    """List the jobs, newest first; of those that have ended the newest hundred are kept."""
    terminal.rows(terminal.gate.every(path_of("jobs")), _COLUMNS, "No job was started.")


@job.command("show")
@click.argument("job_id", metavar="JOB")
@click.pass_obj
def show(terminal: CommandRun, job_id: str) -> None:
    """Show one job: how far it is, or its result."""
    found = terminal.gate.get(path_of("jobs", job_id))
    terminal.show(found, lambda it: output.fields(it.items()))


@job.command("cancel")
@click.argument("job_id", metavar="JOB")
@click.pass_obj
def cancel(terminal: CommandRun, job_id: str) -> None:
    """Cancel a job, whichever node runs it."""
    ended = terminal.gate.post(path_of("jobs", job_id, "cancel"))
    terminal.show(ended, lambda it: f"{it['id']} is {it['state']}.")


def result_of_job(terminal: CommandRun, kind: str, *, detach: bool) -> dict[str, Any] | None:
    """Start a job, or join the one that runs, and wait for its result; None with `detach`.

    Raises what the job failed of, and Conflict when somebody cancelled it.
    """
    if detach:
        # The job would be left to this process, which is about to end.
        terminal.need_running_gate()
    started = terminal.gate.post(path_of("jobs"), {"kind": kind})
    if detach:
        told = f"{kind} goes on: gatelodge job show {started['id']}"
        terminal.show(started, lambda _: told)
        return None
    return await_job(terminal, started)


def await_job(
    terminal: CommandRun,
    started: dict[str, Any],
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Wait for the result of a job, each look told to `tell`; it goes on when this is cut off.

    Raises what the job failed of, and Conflict when somebody cancelled it.
    """
    try:
        return _await_result(terminal, started, tell or _tell_count())
    except (KeyboardInterrupt, GateUnreachable):
        click.echo(
            f"The job goes on, or does when a gate runs: gatelodge job show {started['id']}",
            err=True,
        )
        raise


def _tell_count() -> Callable[[dict[str, Any]], None]:
    """Tells on a terminal how much was done, when that grows."""
    told = 0

    def tell(found: dict[str, Any]) -> None:
        nonlocal told
        if found["done"] > told and sys.stderr.isatty():
            told = found["done"]
            click.echo(f"{told} of {found['total']} ({output.clean(found['stage'])})", err=True)

    return tell


def _await_result(
    terminal: CommandRun, found: dict[str, Any], tell: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    clock, pause = Event(), _FIRST_PAUSE
    while True:
        found = terminal.gate.get(path_of("jobs", found["id"]))
        if found["failure"] is not None:
            raise problems.error_of(found["failure"])
        if found["state"] == "cancelled":
            raise Conflict(f"{found['id']} was cancelled")
        if found["result"] is not None:
            result: dict[str, Any] = found["result"]
            return result
        tell(found)
        clock.wait(pause)
        pause = min(_LONGEST_PAUSE, pause * 1.5)
