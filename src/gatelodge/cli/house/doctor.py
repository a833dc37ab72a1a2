"""`gatelodge doctor`: look at everything that usually goes wrong, and say what to do about each."""

import errno
import os
from collections.abc import Iterator
from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.house import checks
from gatelodge.cli.house.checks import DoctorFinding
from gatelodge.cli.lazy import JsonCommand
from gatelodge.cli.terminal import CommandRun
from gatelodge.config.schema import Settings
from gatelodge.core.errors import HouseError, SettingsError
from gatelodge.core.protocol.bridge.tasks import TASKS_ONLY

_AS_OWNER = "Run as the account that owns it, which is the one that runs the gate."


@click.command("doctor", cls=JsonCommand)
@click.pass_obj
@click.pass_context
def doctor(ctx: click.Context, terminal: CommandRun) -> None:
    """Look for what is wrong here, and print what to do. Exit code 1 when something is."""
    found = list(_run_checks(terminal))
    terminal.show(found, lambda _: _format_findings(found))
    if any(each.state == "wrong" for each in found):
        ctx.exit(output.NEGATIVE)


def _run_checks(terminal: CommandRun) -> Iterator[DoctorFinding]:
    yield from checks.software()
    try:
        settings = terminal.loaded.settings
    except SettingsError as error:
        for fault in error.faults:
            # Nothing else can be looked at: where the house stands is a setting too.
            denied = fault.endswith(f"({os.strerror(errno.EACCES)})")
            yield DoctorFinding("settings", "wrong", fault, _AS_OWNER if denied else error.remedy)
        return
    yield DoctorFinding("settings", "good", "every value is known and in range")
    yield from checks.traces(settings)
    yield from checks.directory(settings)
    yield from checks.commands(settings)
    try:
        running = checks.running(settings)
        yield from checks.port(settings, running=running)
        yield from _of_the_house(terminal, settings)
    # A gate that cannot be asked is a finding as well; what was found before it is still told.
    except HouseError as error:
        yield DoctorFinding("gate", "wrong", error.detail, error.remedy)


def _of_the_house(terminal: CommandRun, settings: Settings) -> Iterator[DoctorFinding]:
    """What only the gate itself can see: keys, logs against the guard, servers."""
    gate = terminal.gate
    node: dict[str, Any] = gate.get("/node")
    yield DoctorFinding("keys", "good", f"the log key is {node['log_key']}")
    for log in node["logs"]:
        yield _check_log(log)
    if node["unready"]:
        yield DoctorFinding(
            "health", "wrong", f"no call is served: {node['unready']}", node["remedy"]
        )
    for fault in node["faults"]:
        yield _left_out(fault)
    # Of the gate's own machine, and by its own account: this command may run as another one.
    yield from checks.isolation(list(gate.every(gate.here("runtimes"))))
    yield from checks.builds(gate.get(gate.here("artifacts", "sandbox")), settings)
    for workspace in gate.every("/workspaces"):
        yield from checks.vault(
            gate.get(f"/workspaces/{workspace['slug']}/vault"), workspace["slug"]
        )
        servers = gate.every(f"/workspaces/{workspace['slug']}/servers")
        for server in servers:
            yield _check_server(workspace["slug"], server)
            yield from _check_offer(workspace["slug"], server)
        for guardrail in gate.every(f"/workspaces/{workspace['slug']}/guardrails"):
            yield from _check_guardrail(workspace["slug"], guardrail)


def _check_log(log: dict[str, Any]) -> DoctorFinding:
    name = f"log {log['log']}"
    # A log only grows, and its guard is written before it is signed: it was cut or put back.
    if log["guard"] > log["size"]:
        return DoctorFinding(
            name,
            "wrong",
            f"{log['size']} records, but {log['guard']} were signed once: "
            "the database is older than the guard",
            "Restore the newest backup, or see docs/operations.md, 'Restored database'.",
        )
    return DoctorFinding(name, "good", f"{log['size']} records, signed up to {log['checkpoint']}")


def _left_out(fault: str) -> DoctorFinding:
    if fault.endswith(TASKS_ONLY):
        return DoctorFinding("view", "note", fault)
    return DoctorFinding(
        "view",
        "wrong",
        fault,
        "Correct or remove what it names; docs/operations.md, 'What happens when'.",
    )


def _check_server(workspace: str, server: dict[str, Any]) -> DoctorFinding:
    name = f"server {workspace}/{server['alias']}"
    if server["status"] != "approved":
        return DoctorFinding(name, "good", f"{server['status']}, so it is not reached")
    if server["health"] == "quarantined":
        return DoctorFinding(
            name,
            "wrong",
            " | ".join([server["detail"], *server.get("said", ())[-3:]]),
            f"Correct the server, then: gatelodge server restart {server['alias']}",
        )
    if server["health"] == "failed":
        return DoctorFinding(
            name,
            "wrong",
            " | ".join([server["detail"] or "it failed", *server.get("said", ())[-3:]]),
            f"Correct the server, then look again: gatelodge server observe {server['alias']}",
        )
    if server["health"] == "waiting":
        says = f"it is tried again: {server['detail'] or 'it was lost'}"
        return DoctorFinding(
            name, "note", says, "Look again in a minute; it may be back by itself."
        )
    return DoctorFinding(name, "good", server["health"])


def _check_offer(workspace: str, server: dict[str, Any]) -> Iterator[DoctorFinding]:
    """What of an approved server is not as it was approved, or is kept from some clients."""
    if server["status"] != "approved":
        return
    name, alias = f"offer {workspace}/{server['alias']}", server["alias"]
    if server["changed"]:
        says = f"tools that are not as they were approved, so they are refused: {server['changed']}"
        yield DoctorFinding(name, "note", says, f"See: gatelodge tool diff {alias}")
    if server["instructions"] == "changed":
        says = "its instructions are not those approved, which sessions go on hearing"
        yield DoctorFinding(name, "note", says, f"See: gatelodge tool diff {alias}")
    if server["unfit"]:
        says = f"tools that clients would choke on, so they are not listed: {server['unfit']}"
        yield DoctorFinding(name, "note", says, f"See: gatelodge tool list --server {alias}")


def _check_guardrail(workspace: str, guardrail: dict[str, Any]) -> Iterator[DoctorFinding]:
    if guardrail["unmatched"]:
        names = ", ".join(guardrail["unmatched"])
        yield DoctorFinding(
            f"guardrail {workspace}/{guardrail['name']}",
            "note",
            f"it names what is not there: {names}",
            "For that it holds nothing until it comes (back); publish it anew, or retire it.",
        )


def _format_findings(found: list[DoctorFinding]) -> str:
    marks = {"good": "ok", "note": "note", "wrong": "WRONG"}
    table = output.table(
        ("", "check", "found"), ([marks[each.state], each.check, each.says] for each in found)
    )
    to_do = [
        output.clean(f"{each.check}: {each.remedy}")
        for each in found
        if each.remedy and each.state != "good"
    ]
    if not to_do:
        return f"{table}\n\nNothing is wrong."
    return "\n".join([table, "", "What to do:", *(f"  {line}" for line in to_do)])
