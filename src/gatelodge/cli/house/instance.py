"""`gatelodge instance` and `ps`: what runs of the servers, on the node that is asked."""

from collections.abc import Callable
from threading import Event
from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import JsonCommand, group, yes
from gatelodge.cli.terminal import CommandRun

_COLUMNS = ("id", "server", "state", "owner", "tier", "runtime", "pid", "age", "memory")
_STATS = ("id", "server", "memory", "cpu_seconds", "throttled_seconds", "processes")
_EMPTY = (
    "Nothing runs on this node. A server starts when it is approved, or with the next call when\n"
    "it was idle; those that start just now are not here yet. See: gatelodge server list"
)
_POLL_SECONDS = 1.0
_of_server = click.option("--server", default="", metavar="ALIAS", help="Only of this server.")

instance = group("instance", "What runs of the servers on the node that is asked.")


def _print_instances(terminal: CommandRun, server: str, columns: tuple[str, ...]) -> None:
    terminal.need_running_gate()
    path = terminal.gate.here("instances")
    found = list(terminal.gate.every(path, **({"server": server} if server else {})))
    if not terminal.json:
        found = [_readable(each) for each in found]
    terminal.rows(iter(found), columns, _EMPTY)


def _readable(found: dict[str, Any]) -> dict[str, Any]:
    return {
        **found,
        "owner": found["owner"] or "(shared)",
        "age": f"{found['seconds']} s",
        "memory": f"{found['memory_bytes'] >> 20} MiB" if found["memory_bytes"] else "?",
    }


@instance.command("list")
@_of_server
@click.pass_obj
def list_(terminal: CommandRun, server: str) -> None:
    """List the instances: whose each is, how far it is isolated, since when it runs."""
    _print_instances(terminal, server, _COLUMNS)


@click.command("ps", cls=JsonCommand)
@_of_server
@click.pass_obj
def ps(terminal: CommandRun, server: str) -> None:
    """List what runs: the same as `gatelodge instance list`."""
    _print_instances(terminal, server, _COLUMNS)


@instance.command("stats")
@_of_server
@click.pass_obj
def stats(terminal: CommandRun, server: str) -> None:
    """Show what each instance takes now."""
    _print_instances(terminal, server, _STATS)


@instance.command("show")
@click.argument("instance_id", metavar="ID")
@click.pass_obj
def show(terminal: CommandRun, instance_id: str) -> None:
    """Show what was found of one instance's isolation, beside what its tier promises."""
    terminal.need_running_gate()
    found = terminal.gate.get(terminal.gate.here("instances", instance_id))
    terminal.show(found, _format_instance)


def _format_instance(found: dict[str, Any]) -> str:
    limits = ", ".join(f"{name} {value:g}" for name, value in found["limits"].items())
    shown = {
        **found,
        "owner": found["owner"] or "(shared)",
        "limits": limits or "as usual",
        "secrets": ", ".join(found["secrets"]) or "none",
        "refused": ", ".join(found["refused"]) or "nothing",
        "deviations": "; ".join(found["deviations"]) or "none: it is as its tier promises",
    }
    facts = shown.pop("facts").split("; ")
    return "\n".join(
        [output.fields(shown.items()), "", "Found after its start:", *_indented(facts)]
    )


def _indented(lines: list[str]) -> list[str]:
    return [f"  {output.clean(line)}" for line in lines if line]


@instance.command("attest")
@click.argument("instance_id", metavar="ID")
@click.pass_obj
@click.pass_context
def attest(ctx: click.Context, terminal: CommandRun, /, instance_id: str) -> None:
    """Read anew what holds an instance, and put it on record. Exit code 1 on a deviation.

    One that is not as its tier promises is ended; the next call that needs one starts it anew.
    """
    terminal.need_running_gate()
    found = terminal.gate.post(terminal.gate.here("instances", instance_id, "attest"))
    terminal.show(found, _format_attestation)
    if found["deviations"]:
        ctx.exit(output.NEGATIVE)


def _format_attestation(found: dict[str, Any]) -> str:
    names = ("id", "server", "runtime", "tier", "at")
    head = output.fields([*((name, found[name]) for name in names), ("told by", found["source"])])
    rows = (
        (each["name"], each["promised"], each["found"], "DEVIATES" if each["deviation"] else "ok")
        for each in found["promises"]
    )
    table = output.table(("", "promised", "found", ""), rows)
    last = "It is as its tier promises."
    if found["deviations"]:
        told = output.clean("; ".join(found["deviations"]))
        last = f"It is not as it has to be, and was ended: {told}."
    return f"{head}\n\n{table}\n\n{last}"


@instance.command("logs")
@click.argument("alias", metavar="SERVER")
@click.option("--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@click.pass_obj
def logs(terminal: CommandRun, alias: str, *, follow: bool) -> None:
    """Show the last lines that a server wrote to its standard error, its secrets masked.

    They are kept in memory only, of the newest instances, and may hold what the server was sent.
    """
    terminal.need_running_gate()
    path = terminal.gate.here("servers", alias, "logs")
    found = terminal.gate.get(path)
    terminal.show(found, lambda it: _format_lines(it, f"{alias} wrote nothing to standard error."))
    clock = Event()
    while follow:
        clock.wait(_POLL_SECONDS)
        found = terminal.gate.get(path, after=found["next"])
        if found["lines"]:
            terminal.show(found, lambda it: _format_lines(it, ""))


def _format_lines(found: dict[str, Any], empty: str) -> str:
    lines = [f"{each['instance']}  {output.clean(each['line'])}" for each in found["lines"]]
    return "\n".join(lines) or empty


@instance.command("stop")
@click.argument("instance_id", metavar="ID")
@click.pass_obj
def stop(terminal: CommandRun, instance_id: str) -> None:
    """End one instance in order; the next call that needs one starts it anew.

    To keep a server from running at all: gatelodge server disable ALIAS.
    """
    terminal.need_running_gate()
    ended = terminal.gate.post(terminal.gate.here("instances", instance_id, "stop"))
    terminal.show(ended, _told(instance_id))


@instance.command("kill")
@click.argument("name", metavar="SERVER|ID")
@yes
@click.pass_obj
def kill(terminal: CommandRun, name: str, *, yes: bool) -> None:
    """End a server at once: it is disabled, and killed on every node.

    Of an ID only that instance is killed, and the next call that needs one starts it anew.
    `gatelodge server enable ALIAS` lets a server serve again.
    """
    terminal.need_running_gate()
    gate = terminal.gate
    if name.startswith("i_"):
        terminal.show(gate.post(gate.here("instances", name, "kill")), _told(name))
        return
    terminal.sure(f"Disable {name}, and kill what runs of it?", yes=yes)
    terminal.show(gate.post(gate.here("servers", name, "kill")), _told(name))


@instance.command("pause")
@click.argument("instance_id", metavar="ID")
@click.pass_obj
@click.pass_context
def pause(ctx: click.Context, terminal: CommandRun, /, instance_id: str) -> None:
    """Have one instance stand still, its memory as it is. Exit code 1 where that cannot be.

    The next call that needs it has it go on. While calls run in it, it is not paused.
    """
    _turn(ctx, terminal, instance_id, "pause")


@instance.command("resume")
@click.argument("instance_id", metavar="ID")
@click.pass_obj
@click.pass_context
def resume(ctx: click.Context, terminal: CommandRun, /, instance_id: str) -> None:
    """Have a paused instance go on. Exit code 1 where it does not."""
    _turn(ctx, terminal, instance_id, "resume")


def _turn(ctx: click.Context, terminal: CommandRun, instance_id: str, what: str) -> None:
    terminal.need_running_gate()
    found = terminal.gate.post(terminal.gate.here("instances", instance_id, what))
    terminal.show(found, _format_turn)
    if found["says"]:
        ctx.exit(output.NEGATIVE)


def _format_turn(found: dict[str, Any]) -> str:
    if found["says"]:
        return output.clean(f"{found['says']} {found['remedy']}")
    if found["state"] == "paused":
        return f"{found['id']} stands still. The next call has it go on, or: instance resume"
    return f"{found['id']} runs."


def _told(name: str) -> Callable[[dict[str, Any]], str]:
    def told(found: dict[str, Any]) -> str:
        many = len(found["ended"])
        text = f"{output.clean(name)}: {many} {'instance' if many == 1 else 'instances'} ended in "
        text += f"{found['ms']} ms."
        receipt = found.get("receipt")
        if receipt is None:
            return text
        return (
            f"{text}\nIt is disabled: no node forwards anything to it since "
            f"{receipt['completed_ms']} ms after the change (bound {receipt['bound_ms']} ms)."
        )

    return told
