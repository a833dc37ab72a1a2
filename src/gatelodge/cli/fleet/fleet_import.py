"""`gatelodge import`: what runs on laptops, as a list, a proposal and the servers in the shadow."""

from pathlib import Path
from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.files import write_new_file
from gatelodge.cli.fleet.finding import FleetSearch
from gatelodge.cli.fleet.gate_facts import GateFacts, gate_facts
from gatelodge.cli.fleet.known_files import CLIENTS
from gatelodge.cli.fleet.owners import addresses, read_owners
from gatelodge.cli.fleet.proposal_file import later_file, later_text, proposal_text
from gatelodge.cli.fleet.reading import ReadFleet, SecretMarks, read_fleet
from gatelodge.cli.fleet.telling import inventory_json, shadow_text, told_fleet
from gatelodge.cli.fleet.vault_values import send_values
from gatelodge.cli.lazy import JsonCommand
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Invalid
from gatelodge.core.fleet.inventory import FleetInventory, inventory
from gatelodge.core.fleet.judge import TakingRules
from gatelodge.core.fleet.merge import merged
from gatelodge.core.fleet.proposal import FleetProposal, ProposalWishes, proposed
from gatelodge.core.hosting.source import read_source

_FILE: Any = click.Path(path_type=Path)


@click.command("import", cls=JsonCommand)
@click.argument("paths", nargs=-1, type=_FILE, metavar="[PATH...]")
@click.option("--discover", is_flag=True, help="This machine: your home folder, and this folder.")
@click.option("--client", type=click.Choice(CLIENTS), help="Files of this client only.")
@click.option("--owner", metavar="NAME", default="", help="Whose everything is that is found.")
@click.option("--owners", type=_FILE, metavar="CSV", help="Lines of FOLDER,EMAIL.")
@click.option("--domain", default="", help="FOLDER is FOLDER@DOMAIN where nothing else says it.")
@click.option("--pin", "pins", multiple=True, metavar="SOURCE", help="A version: npm:NAME@1.2.3.")
@click.option(
    "--level", type=click.Choice(["read", "use", "all"]), default="use", help="Of grants."
)
@click.option("--allow-private", is_flag=True, help="Take own networks and plain HTTP too.")
@click.option("--with-disabled", is_flag=True, help="Take entries that are switched off too.")
@click.option("--gate", "gates", multiple=True, metavar="URL", help="A gate: entries are governed.")
@click.option("--out", type=_FILE, metavar="FILE", help="Write the proposal, for apply.")
@click.option("--inventory", "list_file", type=_FILE, metavar="FILE", help="Write all as JSON.")
@click.option("--shadow", is_flag=True, help="List what no gate governs; exit code 1 if any.")
@click.option("--secrets-to-vault", is_flag=True, help="Set the secrets at the gate, after apply.")
@click.pass_context
def import_fleet(ctx: click.Context, /, paths: tuple[Path, ...], **given: Any) -> None:
    """Read the configurations of MCP clients, and propose what the gate should have.

    PATH is a file, a home folder, a repository, or a folder of many homes, of which each folder is
    one person's. Nothing is started or fetched. No secret is shown or written, and none is sent but
    by --secrets-to-vault.
    """
    terminal: CommandRun = ctx.obj
    marks = SecretMarks(kept=given["secrets_to_vault"])
    search = FleetSearch(client=given["client"] or "", owner=given["owner"])
    read = read_fleet(_paths(paths, discover=given["discover"]), search, marks)
    known = gate_facts(terminal, given["gates"])
    rules = _rules(given, known)
    fleet = merged(read.entries, rules, known.servers, known.aliases)
    found = inventory(
        fleet,
        owners=len(read.owners),
        files=read.files,
        governed=known.servers,
        gates=known.origins,
    )
    proposal = proposed(fleet, _wishes(read, known, given))
    if given["out"]:
        _write_proposal(given["out"], proposal, found, terminal.options.workspace)
    if given["list_file"]:
        text = output.as_json(inventory_json(found, proposal, read, known))
        write_new_file(given["list_file"], text + "\n")
    if given["secrets_to_vault"]:
        send_values(terminal, proposal, _addresses(read, given), marks)
    if given["shadow"]:
        shadow = inventory_json(found, proposal, read, known)["shadow"]
        terminal.show(shadow, lambda _: shadow_text(found, known))
        ctx.exit(output.NEGATIVE if found.shadow else output.OK)
    told = inventory_json(found, proposal, read, known)
    terminal.show(told, lambda _: told_fleet(found, proposal, read, given["out"]))


def _write_proposal(out: Path, proposal: FleetProposal, found: FleetInventory, slug: str) -> None:
    if proposal.later:
        write_new_file(later_file(out), later_text(proposal, slug))
    write_new_file(out, proposal_text(proposal, found, slug))


def _paths(paths: tuple[Path, ...], *, discover: bool) -> list[Path]:
    found = list(paths)
    if discover:
        here = Path.cwd()
        found += dict.fromkeys((Path.home(), here, *list(here.parents)[:8]))
        # The roots of a machine hold other people's folders, which nobody asked for.
        found = [p for p in found if p in paths or p == Path.home() or (p / ".git").exists()]
    if not found:
        raise Invalid(
            "nothing is named",
            remedy="Name a file or a folder, or say --discover for this machine.",
        )
    return found


def _rules(given: dict[str, Any], known: GateFacts) -> TakingRules:
    pins = dict[str, str]()
    for text in given["pins"]:
        source = read_source(text)
        if not source.version:
            raise Invalid(f"--pin: {text} names no version", remedy="Write npm:NAME@1.2.3.")
        pins[f"{source.kind}:{source.name}"] = source.version
    return TakingRules(
        gates=known.origins,
        private=given["allow_private"],
        pins=pins,
        off=given["with_disabled"],
    )


def _addresses(read: ReadFleet, given: dict[str, Any]) -> dict[str, str]:
    owners = {each.place.owner for each in read.entries}
    return addresses(sorted(owners), read_owners(given["owners"]), given["domain"])


def _wishes(read: ReadFleet, known: GateFacts, given: dict[str, Any]) -> ProposalWishes:
    return ProposalWishes(
        addresses=_addresses(read, given),
        members=known.members,
        groups=known.groups,
        level=given["level"],
        private=given["allow_private"],
    )
