"""`gatelodge server`: the MCP servers behind the gate, by alias."""

from pathlib import Path
from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import dry_run, reviewed, yes
from gatelodge.cli.nouns import commands
from gatelodge.cli.rules import definitions
from gatelodge.cli.rules.catalog import card_before_start
from gatelodge.cli.rules.hosting import (
    artifact_transport,
    build_artifact,
    must_be_free,
    package_words,
    rollback,
    upgrade,
)
from gatelodge.cli.rules.mcp_import import import_
from gatelodge.cli.rules.serving import (
    ERA,
    ERA_HELP,
    HIDABLE,
    RUN_AS,
    edit,
    env,
    header,
    hosted_options,
    hosted_parts,
    pairs,
    patience,
    times,
    timing,
)
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.catalog.transport import PARTS, check_parts
from gatelodge.core.catalog.visible import visible, visible_line
from gatelodge.core.errors import (
    HouseError,
    LaunchRefused,
    UpstreamBrokeProtocol,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from gatelodge.flows.admin import servers

server = commands(servers.server)
server.add_command(edit)
server.add_command(import_)
server.add_command(upgrade)
server.add_command(rollback)

_OF_CALLS = {
    each.default_remedy
    for each in (HouseError, UpstreamUnreachable, UpstreamTimeout, UpstreamBrokeProtocol)
}
"""Advice to whoever called a tool, or none: nothing for whoever adds a server."""

_APPROVABLE = ("new", "changed", "pinned")


@server.command("add")
@click.argument("alias")
@click.argument("command", nargs=-1, metavar="[PACKAGE] [-- CMD ARGS...]")
@click.option("--url", default="", help="A streamable HTTP endpoint.")
@header
@click.option("--allow-private", is_flag=True, help="The address may be private or loopback.")
@env
@click.option("--cwd", default="", metavar="DIR", help="Where the process starts.")
@click.option("--run-as", type=RUN_AS, default="own", show_default=True)
@click.option("--era", type=ERA, default="auto", show_default=True, help=ERA_HELP)
@click.option("--tag", "tags", multiple=True, help="A word that guardrails can ask for.")
@click.option(
    "--hide-capability",
    "hidden_capabilities",
    multiple=True,
    type=HIDABLE,
    help="Never tell the server that a client offers this.",
)
@hosted_options
@click.option("--program", "programs", multiple=True, help="A program of this machine beside it.")
@click.option("--script", default="", help="Which of the package's programs is the server.")
@click.option(
    "--run-scripts",
    default="",
    metavar="DEP[,DEP]",
    help="Packages whose own install scripts run, in a sandbox without a network.",
)
@click.option("--rebuild", is_flag=True, help="Fetch it again, whatever was built before.")
@times
@yes
@click.pass_obj
def add(terminal: CommandRun, /, alias: str, **given: Any) -> None:
    """Describe a server, reach it once, and list its tools; nobody can use them yet.

    Either a package (pypi:NAME@VERSION, npm:NAME@VERSION, mcpb:FILE), an image (oci:FILE,
    oci:REGISTRY/REPOSITORY:TAG, or @sha256:DIGEST) or either as a file elsewhere
    (url:https://HOST/NAME.mcpb#sha256=HEX, NAME.tar), which run isolated, or --url, or a command
    after `--`. For a package the alias may be left out, and what follows `--` are arguments. env:
    and file: in a value (alone, or as in `Bearer env:NAME`) are references: they are read when they
    are needed, never kept.
    """
    named = package_words(alias, given["command"])
    if named is not None:
        alias, given["source"], given["args"] = named
        del given["command"]
    said_yes = given.pop("yes")
    own = {"run_as"} if given["run_as"] == "own" else set()  # it says nothing, and is never unsaid
    given |= hosted_parts(given)
    check_parts({part for part in PARTS if given.get(part)} - own)
    gate = terminal.gate
    if named is not None:
        must_be_free(terminal, alias)
        scripts = [each.strip() for each in given["run_scripts"].split(",") if each.strip()]
        wish = {name: given[name] for name in ("source", "script", "programs", "rebuild")}
        wish["run_scripts"] = scripts
        transport = artifact_transport(build_artifact(terminal, wish), given["args"], given)
    else:
        transport = _http_transport(given) if given["url"] else _stdio_transport(given)
    rest = {name: given[name] for name in ("era", "tags", "hidden_capabilities")}
    body = {"alias": alias, "transport": transport, "timing": timing(given), **rest}
    # Two requests: a server that cannot be reached now stays described, and is looked at again.
    made = gate.post(gate.here("servers"), body)
    if named is not None:
        card_before_start(terminal, transport["image"], yes=said_yes)
    try:
        made |= _observe_server(terminal, alias)
    except HouseError as fault:
        _keep_or_drop(terminal, alias, fault)
        raise
    terminal.show(
        made, lambda it: _format_observation(it, f"Next: gatelodge server approve {alias}")
    )


@server.command("show")
@click.argument("alias")
@click.pass_obj
def show(terminal: CommandRun, alias: str) -> None:
    """Show one server: how it is reached, how it is doing, what it tells every session."""
    gate = terminal.gate
    found = gate.get(gate.here("servers", alias))
    if not terminal.json:
        found["instructions"] = gate.get(gate.here("servers", alias, "instructions"))
    terminal.show(found, _format_server)


@server.command("observe")
@click.argument("alias")
@click.pass_obj
def observe(terminal: CommandRun, alias: str) -> None:
    """Reach a server and read its tools again."""
    seen = _observe_server(terminal, alias)
    terminal.show(seen, lambda it: _format_observation(it, f"See: gatelodge tool diff {alias}"))


@server.command("restart")
@click.argument("alias")
@click.pass_obj
def restart(terminal: CommandRun, alias: str) -> None:
    """End what runs of a server on this node and begin anew, also when it is quarantined."""
    terminal.need_running_gate()
    begun = terminal.gate.post(terminal.gate.here("servers", alias, "restart"))
    terminal.show(begun, lambda it: f"{it['alias']} begins anew ({it['health']}).")


@server.command("approve")
@click.argument("alias")
@click.option("--tool", "tools", multiple=True, help="Only these tools (a name or a glob).")
@reviewed
@dry_run
@yes
@click.pass_obj
def approve(terminal: CommandRun, /, alias: str, tools: tuple[str, ...], **said: Any) -> None:
    """Approve a server, with the tools and instructions that it has, as they are shown here.

    What changes between the look and the approval is refused. A script names what somebody read,
    with --digest: each tool, the instructions, and the server itself while it is not approved; what
    is another one by then is refused. A blocked tool stays blocked.
    """
    gate = terminal.gate
    # What is read here in several requests is approved by digests: the gate refuses what changed
    # between them, or between them and the yes.
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
    # Shown before anything is judged or asked, so that a refusal is read beside what it is about.
    terminal.say(f"{output.fields(described.items())}\n\n{definitions.proposal(differ)}\n")
    for each in found:
        if each["unfit"]:
            why = output.clean(each["unfit"])
            terminal.say(f"not listed to some clients: {visible_line(each['name'])}: {why}")
    if said["reviewed"]:
        # A script may name digests that were approved before: they are no surprise, and need no
        # word.
        kept = (described["digest"], told["digest"], *(each["digest"] for each in found))
        definitions.only_reviewed(said["reviewed"], _digests_to_approve(described, body), kept)
    if said["dry_run"]:
        terminal.show(body, lambda _: f"Would approve {alias} so (dry run, nothing was kept).")
        return
    question = f"Approve {alias} with {len(body['tools'])} definitions?"
    sure = said["yes"] or bool(said["reviewed"])
    terminal.sure(question, yes=sure, remedy=definitions.SAY)
    made = gate.post(gate.here("servers", alias, "approve"), body)
    terminal.show(made, lambda it: _approval_message(alias, len(it["approved"]), described))


def _observe_server(terminal: CommandRun, alias: str) -> Any:
    """Observe a server. A fault that brings no advice of its own says how to look again."""
    try:
        with patience(terminal, alias):
            return terminal.gate.post(terminal.gate.here("servers", alias, "observe"))
    except HouseError as error:
        # That advice is for whoever calls a tool, who cannot mend the server.
        if error.remedy in _OF_CALLS:
            error.remedy = (
                f"Correct the server, or how it is reached (gatelodge server edit {alias} --help), "
                f"then: gatelodge server observe {alias}"
            )
        error.remedy = error.remedy.replace("ALIAS", alias)
        raise


def _keep_or_drop(terminal: CommandRun, alias: str, fault: HouseError) -> None:
    """Keep what may get well, or be corrected; what is never started as it stands goes again."""
    if isinstance(fault, LaunchRefused):
        terminal.gate.post(terminal.gate.here("servers", alias, "remove"), {"why": ""})
        terminal.say(f"{alias} was not added.")
        # There is nothing to edit.
        fault.remedy = fault.remedy.replace(f"server edit {alias}", f"server add {alias}")
        return
    terminal.say(
        f"{alias} is described, but could not be observed yet. "
        f"To take it away: gatelodge server remove {alias}"
    )


def _digests_to_approve(described: dict[str, Any], body: dict[str, Any]) -> dict[str, str]:
    """The digests that an approval would newly take, by what they are of."""
    due = {visible_line(name): digest for name, digest in body["tools"].items()}
    if body["instructions"]:
        due["its instructions"] = body["instructions"]
    if described["status"] != "approved":
        due["the server"] = body["description"]
    return due


def _approval_message(alias: str, pinned: int, described: dict[str, Any]) -> str:
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


def _format_server(found: dict[str, Any]) -> str:
    told = found.pop("instructions")
    lines = [output.fields([*found.items(), ("instructions", told["standing"])])]
    if told["text"]:
        lines += ["", f"It tells every session ({told['standing']}, {told['digest']}):"]
        lines += _indented(told["text"])
    if told["standing"] == "changed":
        lines += ["", "Sessions hear what was approved:", *_indented(told["approved"])]
    return "\n".join(lines)


def _indented(text: str) -> list[str]:
    # Or a line of the server's text could pass for one of ours.
    return [f"  {line}" for line in visible(text).split("\n")]


def _http_transport(given: dict[str, Any]) -> dict[str, object]:
    return {
        "type": "http",
        "url": given["url"],
        "headers": pairs(given["headers"], "--header"),
        "allow_private": given["allow_private"],
    }


def _stdio_transport(given: dict[str, Any]) -> dict[str, object]:
    return {
        "type": "stdio",
        "command": given["command"],
        "env": pairs(given["env"], "--env"),
        # Against this command's own directory: the gate runs in another one.
        "cwd": str(Path(given["cwd"]).absolute()) if given["cwd"] else "",
        "run_as": given["run_as"],
    }


def _format_observation(seen: dict[str, Any], then: str) -> str:
    tools = seen["tools"]
    if tools:
        rows = [{**each, "digest": each["digest"][:12]} for each in tools]
        columns = ("name", "standing", "digest", "title")
        lines = [output.listing(columns, rows, "tool", "standing", "digest", "says")]
    else:
        lines = [f"{seen['alias']} answers, and has no tools that can be used."]
    lines += [f"left out: {output.clean(why)}" for why in seen["skipped"]]
    return "\n".join([*lines, then])
