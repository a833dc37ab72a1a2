"""`gatelodge server`: the MCP servers behind the gate, by alias."""

from pathlib import Path
from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import WHY, dry_run, group, reviewed, yes
from gatelodge.cli.receipt import show_changes, show_receipt
from gatelodge.cli.rules import definitions
from gatelodge.cli.rules.serving import (
    ERA,
    ERA_HELP,
    RUN_AS,
    VALUE,
    WITHHELD,
    edit,
    import_,
    pairs,
    patience,
    times,
    timing,
)
from gatelodge.cli.terminal import Terminal
from gatelodge.core.errors import (
    HouseError,
    Invalid,
    UpstreamBrokeProtocol,
    UpstreamTimeout,
    UpstreamUnreachable,
)

server = group("server", "The MCP servers behind the gate.")
server.add_command(edit)
server.add_command(import_)

_OF_CALLS = {
    each.default_remedy
    for each in (HouseError, UpstreamUnreachable, UpstreamTimeout, UpstreamBrokeProtocol)
}
"""Advice to whoever called a tool, or none: nothing for whoever adds a server."""

_COLUMNS = (
    "alias",
    "status",
    "health",
    "isolation",
    "kind",
    "target",
    "tools",
    "changed",
    "new",
    "unfit",
    "instructions",
    "id",
)
_APPROVABLE = ("new", "changed", "pinned")


@server.command("add")
@click.argument("alias")
@click.argument("command", nargs=-1, metavar="[-- CMD ARGS...]")
@click.option("--url", default="", help="A streamable HTTP endpoint.")
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="K=V",
    help=VALUE,
)
@click.option("--allow-private", is_flag=True, help="The address may be private or loopback.")
@click.option(
    "--env",
    "env",
    multiple=True,
    metavar="K=V",
    help=VALUE,
)
@click.option("--cwd", default="", metavar="DIR", help="Where the process starts.")
@click.option("--run-as", type=RUN_AS, default="own", show_default=True)
@click.option("--era", type=ERA, default="auto", show_default=True, help=ERA_HELP)
@click.option("--tag", "tags", multiple=True, help="A word that guardrails can ask for.")
@click.option(
    "--withhold",
    "withheld",
    multiple=True,
    type=WITHHELD,
    help="Never tell the server that a client offers this.",
)
@times
@click.pass_obj
def add(terminal: Terminal, /, alias: str, **given: Any) -> None:
    """Describe a server, reach it once, and list its tools; nobody can use them yet.

    Either --url, or a command after `--`. env: and file: in a value (alone, or as in `Bearer
    env:NAME`) are references: they are read when they are needed, never kept.
    """
    transport = _http(given) if given["url"] else _stdio(given)
    gate = terminal.gate
    rest = {name: given[name] for name in ("era", "tags", "withheld")}
    body = {"alias": alias, "transport": transport, "timing": timing(given), **rest}
    made = gate.post(gate.here("servers"), body)
    try:
        made |= _look(terminal, alias)
    except HouseError:
        terminal.say(f"{alias} is described, but could not be observed yet.")
        raise
    terminal.show(made, lambda it: _observed(it, f"Next: gatelodge server approve {alias}"))


@server.command("list")
@click.pass_obj
def list_(terminal: Terminal) -> None:
    """List the servers of the workspace."""
    gate = terminal.gate
    terminal.rows(
        gate.every(gate.here("servers")),
        _COLUMNS,
        "No servers yet. Add one: gatelodge server add NAME --url URL, or -- CMD ARGS...",
    )


@server.command("show")
@click.argument("alias")
@click.pass_obj
def show(terminal: Terminal, alias: str) -> None:
    """Show one server: how it is reached, how it is doing, what it tells every session."""
    gate = terminal.gate
    found = gate.get(gate.here("servers", alias))
    if not terminal.json:
        found["instructions"] = gate.get(gate.here("servers", alias, "instructions"))
    terminal.show(found, _described)


@server.command("observe")
@click.argument("alias")
@click.pass_obj
def observe(terminal: Terminal, alias: str) -> None:
    """Reach a server and read its tools again."""
    seen = _look(terminal, alias)
    terminal.show(seen, lambda it: _observed(it, f"See: gatelodge tool diff {alias}"))


@server.command("approve")
@click.argument("alias")
@click.option("--tool", "tools", multiple=True, help="Only these tools (a name or a glob).")
@reviewed
@dry_run
@yes
@click.pass_obj
def approve(terminal: Terminal, /, alias: str, tools: tuple[str, ...], **said: Any) -> None:
    """Approve a server, with the tools and instructions that it has, as they are shown here.

    What changes between the look and the approval is refused. A script names what somebody read,
    with --digest: each tool, the instructions, and the server itself while it is not approved; what
    is another one by then is refused. A blocked tool stays blocked.
    """
    gate = terminal.gate
    described = gate.get(gate.here("servers", alias))
    differ = gate.get(gate.here("servers", alias, "tools", "diff"))
    some = tools or (("*",) if described["tools"] else ())
    found = definitions.chosen(gate, alias, some, _APPROVABLE)
    wanted = {each["name"] for each in found if each["standing"] != "gone"}
    told = differ["instructions"]
    body = {
        "description": described["digest"],
        "tools": {e["name"]: e["digest"] for e in differ["changes"] if e["name"] in wanted},
        "instructions": told["digest"] if told["standing"] in ("new", "changed") else "",
    }
    terminal.say(f"{output.fields(described.items())}\n\n{definitions.proposal(differ)}\n")
    for each in found:
        if each["unfit"]:
            why = output.clean(each["unfit"])
            terminal.say(f"not listed to some clients: {output.visible(each['name'])}: {why}")
    if said["reviewed"]:
        kept = (described["digest"], told["digest"], *(each["digest"] for each in found))
        definitions.only_reviewed(said["reviewed"], _due(described, body), kept)
    if said["dry_run"]:
        terminal.show(body, lambda _: f"Would approve {alias} so (dry run, nothing was kept).")
        return
    question = f"Approve {alias} with {len(body['tools'])} definitions?"
    sure = said["yes"] or bool(said["reviewed"])
    terminal.sure(question, yes=sure, remedy=definitions.SAY)
    made = gate.post(gate.here("servers", alias, "approve"), body)
    terminal.show(made, lambda it: _approved(alias, len(it["approved"]), described))


@server.command("disable")
@click.argument("alias")
@click.option("--why", default="", help=WHY)
@click.pass_obj
def disable(terminal: Terminal, alias: str, why: str) -> None:
    """Stop a server at once, running calls included; `server enable` brings it back."""
    gate = terminal.gate
    show_receipt(terminal, gate.post(gate.here("servers", alias, "disable"), {"why": why}), alias)


@server.command("enable")
@click.argument("alias")
@yes
@click.pass_obj
def enable(terminal: Terminal, alias: str, yes: bool) -> None:
    """Let a disabled server serve again, with the pins it had."""
    gate = terminal.gate
    remedy = f"Say --yes, or look first: gatelodge server show {alias}"
    terminal.sure(f"Let {alias} serve again, with the pins it had?", yes=yes, remedy=remedy)
    made = gate.post(gate.here("servers", alias, "enable"))
    terminal.show(made, lambda it: f"{it['alias']} is {it['status']}.")


@server.command("remove")
@click.argument("alias")
@click.option("--why", default="", help=WHY)
@dry_run
@yes
@click.pass_obj
def remove(terminal: Terminal, alias: str, why: str, dry_run: bool, yes: bool) -> None:
    """Remove a server with its pins and grants, cutting what runs."""
    gate = terminal.gate
    path = gate.here("servers", alias, "remove")
    if dry_run:
        show_changes(terminal, gate.post(path, {"why": why}, dry_run=True))
        return
    terminal.sure(f"Remove {alias}, its pins and its grants?", yes=yes)
    show_receipt(terminal, gate.post(path, {"why": why}), alias)


def _look(terminal: Terminal, alias: str) -> Any:
    """Observe a server. A fault that brings no advice of its own says how to look again."""
    try:
        with patience(terminal, alias):
            return terminal.gate.post(terminal.gate.here("servers", alias, "observe"))
    except HouseError as error:
        if error.remedy in _OF_CALLS:
            error.remedy = (
                f"Correct the server, or how it is reached (gatelodge server edit {alias} --help), "
                f"then: gatelodge server observe {alias}"
            )
        error.remedy = error.remedy.replace("edit ALIAS", f"edit {alias}")
        raise


def _due(described: dict[str, Any], body: dict[str, Any]) -> dict[str, str]:
    """The digests that an approval would newly take, by what they are of."""
    due = {output.visible(name): digest for name, digest in body["tools"].items()}
    if body["instructions"]:
        due["its instructions"] = body["instructions"]
    if described["status"] != "approved":
        due["the server"] = body["description"]
    return due


def _approved(alias: str, pinned: int, described: dict[str, Any]) -> str:
    if not described["tools"]:
        return (
            f"{alias} is approved; it has no tools yet.\n"
            f"Next: gatelodge server observe {alias}, then approve what it has"
        )
    said = "what was asked for was pinned already"
    if pinned:
        said = "1 tool is pinned" if pinned == 1 else f"{pinned} tools are pinned"
    return (
        f"{alias} is approved; {said}.\n"
        "Grants of level `read` and `use` reach nothing until its tools are reviewed, each by\n"
        f"itself, or all as the server describes them: gatelodge tool review {alias} '*' --hints\n"
        f"Next: gatelodge grant add --everyone --server {alias} --level all, or use after a review"
    )


def _described(found: dict[str, Any]) -> str:
    told = found.pop("instructions")
    lines = [output.fields([*found.items(), ("instructions", told["standing"])])]
    if told["text"]:
        lines += ["", f"It tells every session ({told['standing']}, {told['digest']}):"]
        lines.append(output.visible(told["text"]))
    if told["standing"] == "changed":
        lines += ["", "Sessions hear what was approved:", output.visible(told["approved"])]
    return "\n".join(lines)


def _http(given: dict[str, Any]) -> dict[str, object]:
    if given["command"] or given["env"] or given["cwd"]:
        raise Invalid("give either --url or a command, not both")
    return {
        "type": "http",
        "url": given["url"],
        "headers": pairs(given["headers"], "--header"),
        "allow_private": given["allow_private"],
    }


def _stdio(given: dict[str, Any]) -> dict[str, object]:
    if not given["command"]:
        raise Invalid("say how to reach it: --url URL, or -- CMD ARGS...")
    if given["headers"] or given["allow_private"]:
        raise Invalid("--header and --allow-private go with --url")
    return {
        "type": "stdio",
        "command": given["command"],
        "env": pairs(given["env"], "--env"),
        "cwd": str(Path(given["cwd"]).absolute()) if given["cwd"] else "",
        "run_as": given["run_as"],
    }


def _observed(seen: dict[str, Any], then: str) -> str:
    tools = seen["tools"]
    if tools:
        rows = ([t["name"], t["standing"], t["digest"][:12], t["title"]] for t in tools)
        lines = [output.table(("tool", "standing", "digest", "says"), rows)]
    else:
        lines = [f"{seen['alias']} answers, and has no tools that can be used."]
    lines += [f"left out: {output.clean(why)}" for why in seen["skipped"]]
    return "\n".join([*lines, then])
