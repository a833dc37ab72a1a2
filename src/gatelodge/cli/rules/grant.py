"""`gatelodge grant`: who may use which tools."""

import re
from typing import Any

import click

from gatelodge.cli.lazy import WHY, group
from gatelodge.cli.receipt import show_receipt
from gatelodge.cli.terminal import Terminal
from gatelodge.core.errors import Invalid

grant = group("grant", "Who may use which tools.")

_COLUMNS = ("id", "grantee", "server", "tool", "level", "reaches", "of", "expires_at", "ticket")
_REVIEWED = {"read": "reviewed as read-only", "use": "reviewed as not destructive"}
_UNITS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


@grant.command("add")
@click.option("--member", metavar="EMAIL", default="", help="To a person.")
@click.option("--agent", metavar="NAME", default="", help="To an agent.")
@click.option("--group", metavar="NAME", default="", help="To a group.")
@click.option("--everyone", is_flag=True, help="To each member and agent of the workspace.")
@click.option("--server", required=True, metavar="ALIAS")
@click.option("--tool", default="", metavar="NAME", help="One tool; else each of the server.")
@click.option(
    "--level",
    type=click.Choice(["read", "use", "all"]),
    default="use",
    show_default=True,
    help="read: reviewed read-only tools; use: all but destructive ones; all: all.",
)
@click.option("--for", "lasting", default="", metavar="8h", help="Ends after m, h, d or w.")
@click.option("--until", default="", metavar="TIME", help="Ends then (RFC 3339).")
@click.option("--ticket", default="", help="Where it was asked for.")
@click.pass_obj
def add(terminal: Terminal, /, lasting: str, until: str, **given: Any) -> None:
    """Let somebody use tools; without a grant nobody may."""
    body = {name: value for name, value in given.items() if value}
    if sum(bool(given[each]) for each in ("member", "agent", "group", "everyone")) != 1:
        raise Invalid("give exactly one of --member, --agent, --group and --everyone")
    if lasting and until:
        raise Invalid("give either --for or --until")
    if lasting:
        body["for_seconds"] = _seconds(lasting)
    if until:
        body["until"] = until
    gate = terminal.gate
    made = gate.post(gate.here("grants"), body)
    terminal.show(made, _given)


@grant.command("list")
@click.pass_obj
def list_(terminal: Terminal) -> None:
    """List the grants of the workspace."""
    gate = terminal.gate
    terminal.rows(
        gate.every(gate.here("grants")),
        _COLUMNS,
        "No grants yet, so nobody may use anything. Give one: "
        "gatelodge grant add --everyone --server ALIAS",
    )


@grant.command("revoke")
@click.argument("grant_id", metavar="ID")
@click.option("--why", default="", help=WHY)
@click.pass_obj
def revoke(terminal: Terminal, grant_id: str, why: str) -> None:
    """Take a grant back, and print when it was certain on every node."""
    gate = terminal.gate
    show_receipt(terminal, gate.delete(gate.here("grants", grant_id), why=why), grant_id)


def _given(made: dict[str, Any]) -> str:
    what = f"{made['server']}/{made['tool'] or '*'}"
    reaches, of = made["reaches"], made["of"]
    lines = [f"{made['grantee']} may use {what}: {reaches} of {of} approved tools now."]
    if reaches < of:
        lines.append(
            f"Level {made['level']} reaches what is {_REVIEWED[made['level']]}: "
            f"gatelodge tool review {made['server']} TOOL; or grant --level all."
        )
    elif not of:
        lines.append(f"It has no approved tool yet: gatelodge server approve {made['server']}")
    lines.append(f"Take it back: gatelodge grant revoke {made['id']}")
    return "\n".join(lines)


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([1-9]\d{0,6})([mhdw])", text.strip())
    if found is None:
        raise Invalid("--for wants a number and m, h, d or w, such as 8h")
    return int(found[1]) * _UNITS[found[2]]
