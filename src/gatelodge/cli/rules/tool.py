"""`gatelodge tool`: what servers offer, and what an admin said of it."""

from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import WHY, dry_run, reviewed, yes
from gatelodge.cli.nouns import commands
from gatelodge.cli.receipt import show_receipt
from gatelodge.cli.rules import definitions
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.catalog.visible import visible_line
from gatelodge.core.errors import Invalid, NotFound
from gatelodge.flows.admin import pins

tool = commands(pins.tool)

_REHEARSED = "Would be reviewed so (dry run, nothing was kept)."
_WHICH = click.argument("tools", nargs=-1, required=True, metavar="TOOL...")


@tool.command("show")
@click.argument("server")
@click.argument("tool_name", metavar="TOOL")
@click.pass_obj
def show(terminal: CommandRun, server: str, tool_name: str) -> None:
    """Show one tool whole: every text, its schemas, its digest, and the approved definition."""
    gate = terminal.gate
    found = gate.get(gate.here("servers", server, "tools", "show"), tool=tool_name)
    terminal.show(found, definitions.whole)


@tool.command("diff")
@click.argument("server")
@click.argument("tools", nargs=-1, metavar="[TOOL...]")
@click.pass_obj
def diff(terminal: CommandRun, server: str, tools: tuple[str, ...]) -> None:
    """Show what differs from what was approved: words, places in the schemas, instructions."""
    gate = terminal.gate
    found = gate.get(gate.here("servers", server, "tools", "diff"))
    names = [each["name"] for each in definitions.chosen(gate, server, tools)]
    terminal.show(found, lambda it: definitions.differences(it, server, names))


@tool.command("approve")
@click.argument("server")
@_WHICH
@reviewed
@dry_run
@yes
@click.pass_obj
def approve(terminal: CommandRun, /, server: str, tools: tuple[str, ...], **said: Any) -> None:
    """Pin definitions by the digest of what is shown here; names may be globs.

    A script names what somebody read, with --digest: a definition that is another one by then is
    refused. A blocked tool stays blocked: see `gatelodge tool unblock`.
    """
    gate = terminal.gate
    found = definitions.chosen(gate, server, tools, ("new", "changed", "pinned"))
    differ = gate.get(gate.here("servers", server, "tools", "diff"))
    wanted = {each["name"] for each in found if each["standing"] != "gone"}
    # Only what differs is approved: what is pinned as it is needs no new word of anybody's.
    digests = {e["name"]: e["digest"] for e in differ["changes"] if e["name"] in wanted}
    if digests:
        terminal.say(definitions.proposal(differ, digests) + "\n")
    if said["reviewed"]:
        definitions.only_reviewed(said["reviewed"], digests, (e["digest"] for e in found))
    if said["dry_run"]:
        _show_rehearsal(terminal, {"would_approve": digests}, "pin")
        return
    if digests:
        sure = said["yes"] or bool(said["reviewed"])
        terminal.sure(
            f"Pin {_pluralized_count(digests, 'tool')}?", yes=sure, remedy=definitions.SAY
        )
    made = gate.post(gate.here("servers", server, "tools", "approve"), {"tools": digests})
    terminal.show(made, lambda it: _pinning_message(it["approved"], server))


@tool.command("block")
@click.argument("server")
@_WHICH
@click.option("--why", default="", help=WHY)
@dry_run
@click.pass_obj
def block(
    terminal: CommandRun, server: str, tools: tuple[str, ...], why: str, dry_run: bool
) -> None:
    """Nobody can use the tools until they are unblocked, whatever is approved.

    Names may be globs.
    """
    gate = terminal.gate
    found = definitions.chosen(gate, server, tools)
    names = [each["name"] for each in found if each["standing"] != "blocked"]
    if dry_run:
        _show_rehearsal(terminal, {"would_block": names}, "block")
        return
    receipts = []
    # One request for each tool, since each has a receipt; where all are blocked, one is asked anew
    # for its receipt's sake.
    for name in names or [found[0]["name"]]:
        body = {"tool": name, "why": why}
        receipts.append(gate.post(gate.here("servers", server, "tools", "block"), body))
        if not terminal.json:
            # Told one by one: when a later block fails, those before it hold and are known.
            show_receipt(terminal, receipts[-1], f"{server}/{name}")
    if terminal.json:
        terminal.show(receipts if len(receipts) > 1 else receipts[0], str)


@tool.command("unblock")
@click.argument("server")
@_WHICH
@dry_run
@yes
@click.pass_obj
def unblock(
    terminal: CommandRun, server: str, tools: tuple[str, ...], dry_run: bool, yes: bool
) -> None:
    """Lift blocks; what was approved before holds again, unless it changed. Names may be globs."""
    gate = terminal.gate
    found = definitions.chosen(gate, server, tools, ("blocked",))
    names = [each["name"] for each in found]
    if dry_run:
        _show_rehearsal(terminal, {"would_unblock": names}, "unblock")
        return
    if names:
        terminal.sure(
            f"Let {_pluralized_count(names, 'tool')} be used again: {_joined_names(names)}?",
            yes=yes,
        )
    made = gate.post(gate.here("servers", server, "tools", "unblock"), {"tools": names})
    terminal.show(made, lambda it: _format_tools(it["unblocked"]))


@tool.command("review")
@click.argument("server")
@_WHICH
@click.option("--read-only/--not-read-only", default=None, help="It changes nothing.")
@click.option("--destructive/--not-destructive", default=None, help="It may destroy something.")
@click.option("--open-world/--not-open-world", default=None, help="It reaches the outside.")
@click.option("--hints", is_flag=True, help="What the server itself says is right.")
@reviewed
@dry_run
@yes
@click.pass_obj
def review(terminal: CommandRun, /, server: str, tools: tuple[str, ...], **said: Any) -> None:
    """Say what tools do, of the definitions that they have now; names may be globs.

    With --hints what the server says of each is taken for its review, and the other options
    override it; a tool of which it says nothing is left out. A script names the definitions that
    somebody read, with --digest.
    """
    rehearse, by_hints = said.pop("dry_run"), said.pop("hints")
    sure, read = said.pop("yes"), said.pop("reviewed")
    given = {name: value for name, value in said.items() if value is not None}
    if not given and not by_hints:
        raise Invalid("say at least one of --read-only, --destructive, --open-world, or --hints")
    gate = terminal.gate
    found = definitions.chosen(gate, server, tools, ("pinned", "new", "changed", "blocked"))
    findings = {
        each["name"]: {
            "digest": each["digest"],
            **(_review_from_hints(each) if by_hints else {}),
            **given,
        }
        for each in found
        if given or each["hints"]
    }
    # Silence is no hint: MCP's defaults would review a tool of which nobody said anything.
    silent = len(found) - len(findings)
    if silent:
        terminal.say(
            f"{_pluralized_count(range(silent), 'tool')} left out: its server says nothing of it."
        )
    if read:
        due = {name: each["digest"] for name, each in findings.items()}
        definitions.only_reviewed(read, due, (each["digest"] for each in found))
    if rehearse:
        terminal.show(findings, lambda it: f"{_format_findings(it)}\n{_REHEARSED}")
        return
    if not findings:
        raise NotFound("nothing to review", remedy=f"See: gatelodge tool list --server {server}")
    # A digest says that somebody read the definition, so it stands for the yes.
    if not (sure or read):
        terminal.say(_format_findings(findings))
        terminal.sure("Write this down as reviewed?", yes=False, remedy=definitions.SAY)
    made = gate.post(gate.here("servers", server, "tools", "review"), {"tools": findings})
    terminal.show(made, lambda it: _format_tools(it["reviewed"]))


def _review_from_hints(tool: dict[str, Any]) -> dict[str, bool]:
    """The server's hints, where they are silent the defaults of MCP; never a contradiction."""
    read_only = tool["hints"].get("read_only", False)
    destructive = tool["hints"].get("destructive", True) and not read_only
    return {
        "read_only": read_only,
        "destructive": destructive,
        "open_world": tool["hints"].get("open_world", True),
    }


def _show_rehearsal(terminal: CommandRun, found: dict[str, Any], does: str) -> None:
    (names,) = found.values()
    told = f"Would {does} (dry run, nothing was kept): {_joined_names(names) or 'nothing'}"
    terminal.show(found, lambda _: told)


def _joined_names(names: Any) -> str:
    return ", ".join(visible_line(name) for name in names)


def _pinning_message(names: list[str], server: str) -> str:
    if not names:
        return "Nothing was left to pin."
    return (
        f"Pinned: {output.clean(names)}\n"
        "Grants of level `read` and `use` reach a tool once it is reviewed: "
        f"gatelodge tool review {server} '*' --hints"
    )


def _format_findings(found: dict[str, dict[str, Any]]) -> str:
    rows = ({"tool": name, **each} for name, each in found.items())
    return output.listing(("tool", "read_only", "destructive", "open_world"), rows)


def _format_tools(tools: list[dict[str, Any]]) -> str:
    columns = ("name", "standing", "reviewed", "read_only", "destructive", "open_world")
    return f"{output.listing(columns, tools)}\n{_pluralized_count(tools, 'tool')}."


def _pluralized_count(things: Any, word: str) -> str:
    number = len(things)
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
