"""`gatelodge policy`: guardrails, what nobody may do whatever was granted."""

import re
from pathlib import Path
from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import WHY, group, yes
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.catalog.visible import visible
from gatelodge.core.errors import Invalid

policy = group("policy", "Guardrails: what nobody may do, whatever was granted.")

_PART = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\r\n]*|[^"/]+|.', re.DOTALL)
"""A string, a comment, or what stands between them."""
_FILE = click.Path(path_type=Path)
_everywhere = click.option(
    "--everywhere", is_flag=True, help="In every workspace (local operator only)."
)
_unmatched = click.option(
    "--unmatched", is_flag=True, help="Let it name servers, tools, groups that come later."
)


@policy.command("list")
@click.pass_obj
def list_(terminal: CommandRun) -> None:
    """List the guardrails that hold in the workspace."""
    gate = terminal.gate
    terminal.rows(
        gate.every(gate.here("guardrails")),
        ("name", "mode", "scope", "unmatched", "id"),
        "No guardrails of yours yet. Publish one: gatelodge policy add NAME FILE",
    )


@policy.command("add")
@click.argument("name")
@click.argument("file", type=_FILE)
@click.option("--observe", is_flag=True, help="Keep it without stopping anything by it.")
@_everywhere
@_unmatched
@click.pass_obj
def add(
    terminal: CommandRun, name: str, file: Path, observe: bool, everywhere: bool, unmatched: bool
) -> None:
    """Publish a guardrail: one Cedar forbid with an @reason; it holds at once."""
    gate = terminal.gate
    mode = "observe" if observe else "enforce"
    body = {
        "name": name,
        "text": _read_guardrail_file(file),
        "mode": mode,
        "everywhere": everywhere,
        "unmatched": unmatched,
    }
    made = gate.post(gate.here("guardrails"), body)
    terminal.show(made, _publication_message)


@policy.command("check")
@click.argument("file", type=_FILE)
@_everywhere
@_unmatched
@click.option("--offline", is_flag=True, help="Look at the text only, not at what it names.")
@click.pass_obj
def check(
    terminal: CommandRun, file: Path, everywhere: bool, unmatched: bool, offline: bool
) -> None:
    """Say whether a file could be published, and whether what it names is there."""
    text = _read_guardrail_file(file)
    if offline:
        # Loaded here alone: the policy engine would slow the start of every other command of the
        # group.
        from gatelodge.core.policy.guardrails import validate

        validate(text)
        found = {"good": True, "unmatched": None}
        told = f"{file} is a guardrail. Whether what it names is there was not looked at."
        terminal.show(found, lambda _: told)
        return
    gate = terminal.gate
    body = {"text": text, "everywhere": everywhere, "unmatched": unmatched}
    found = gate.post(gate.here("guardrails", "check"), body)
    terminal.show(
        found, lambda it: f"{file} can be published.{_note_on_unmatched(it['unmatched'])}"
    )


@policy.command("simulate")
@click.argument("file", type=_FILE, required=False)
@click.option("--name", default="", help="In the place of this guardrail; without FILE, retired.")
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True)
@click.pass_obj
def simulate(terminal: CommandRun, file: Path | None, name: str, days: int) -> None:
    """Say what a guardrail would have changed of the calls of the last days; publishes nothing."""
    gate = terminal.gate
    text = "" if file is None else _read_guardrail_file(file)
    told: dict[str, Any] = {}
    cursor = ""
    # One answer reads a part of the log: the parts are put together here.
    while True:
        asked = {"name": name, "text": text, "days": days, "cursor": cursor}
        part = gate.post(gate.here("guardrails", "simulate"), asked)
        told = _joined_simulations(told, part)
        cursor = part["next"]
        if not cursor:
            break
    terminal.show(told, _format_simulation)


@policy.command("show")
@click.argument("name")
@click.pass_obj
def show(terminal: CommandRun, name: str) -> None:
    """Print a guardrail's text; what a terminal would obey is an escape of Cedar."""
    gate = terminal.gate
    terminal.show(gate.get(gate.here("guardrails", name)), _guardrail_text)


@policy.command("retire")
@click.argument("name")
@click.option("--why", default="", help=WHY)
@yes
@click.pass_obj
def retire(terminal: CommandRun, name: str, why: str, yes: bool) -> None:
    """End a guardrail; what it forbade is up to the grants again."""
    gate = terminal.gate
    remedy = f"Say --yes, or look first: gatelodge policy show {name}"
    # To end what forbids lets somebody in, so it is asked about as an approval is.
    terminal.sure(f"Leave what {name} forbids to the grants?", yes=yes, remedy=remedy)
    made = gate.post(gate.here("guardrails", name, "retire"), {"why": why})
    terminal.show(made, lambda it: f"Guardrail {output.clean(it['name'])} is retired.")


def _joined_simulations(told: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What an answer and the one about older calls say together."""
    if not told:
        return part
    counts = ("calls", "denied", "allowed", "gone", "otherwise")
    lines = {(each["principal"], each["tool"], each["change"]): each for each in told["lines"]}
    for each in part["lines"]:
        key = (each["principal"], each["tool"], each["change"])
        before = lines[key]["calls"] if key in lines else 0
        lines[key] = each | {"calls": before + each["calls"]}
    return {
        **part,
        "until": told["until"] or part["until"],
        "lines": sorted(lines.values(), key=lambda each: -each["calls"]),
        **{name: told[name] + part[name] for name in counts},
    }


def _format_simulation(found: dict[str, Any]) -> str:
    head = (
        f"Of {found['calls']} calls since {found['since'][:19]}: {found['denied']} would have been "
        f"denied, {found['allowed']} allowed."
    )
    left = found["gone"] + found["otherwise"]
    tail = (
        f"Of {left} nothing is said: who or what is gone, or rules changed since." if left else ""
    )
    columns = ("principal", "tool", "change", "calls")
    rows = output.listing(columns, found["lines"]) if found["lines"] else ""
    return "\n".join(filter(None, (head, rows, tail)))


def _publication_message(made: dict[str, Any]) -> str:
    holds = f"Guardrail {output.clean(made['name'])} holds (mode {made['mode']})."
    return holds + _note_on_unmatched(made["unmatched"])


def _note_on_unmatched(unmatched: list[str]) -> str:
    if not unmatched:
        return ""
    return f"\nNot there yet: {output.clean(unmatched)}. For that it holds nothing until it comes."


def _read_guardrail_file(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise Invalid(f"{file} cannot be read as text") from None


def _guardrail_text(found: dict[str, Any]) -> str:
    # Escaped also where it is piped: `head` and `grep` hand on to a terminal what they read.
    return _PART.sub(_visible_part, found["text"]).rstrip("\n")


def _visible_part(found: re.Match[str]) -> str:
    part = found[0]
    if part.startswith('"'):
        return visible(part, lambda letter: f"\\u{{{ord(letter):x}}}")
    if part.startswith("//"):
        return "\t".join(map(visible, part.split("\t")))
    # Between strings and comments only white space is not seen; a CR ends a comment.
    lines = re.sub("\r\n?", "\n", part)
    return "".join(each if each.isprintable() or each in "\n\t" else " " for each in lines)
