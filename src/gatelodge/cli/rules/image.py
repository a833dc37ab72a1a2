"""`gatelodge image`: what hosted servers are started from, by digest."""

from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import dry_run, group, yes
from gatelodge.cli.terminal import CommandRun

_MIB = 1 << 20
_COLUMNS = ("image", "source", "size", "built", "used_by")

image = group("image", "What hosted servers are started from.")


@image.command("list")
@click.pass_obj
def list_(terminal: CommandRun) -> None:
    """List the images that are kept, newest first, and which servers have them."""
    rows = list(terminal.gate.every(terminal.gate.here("images")))
    if not terminal.json:
        rows = [_shown_row(each) for each in rows]
    terminal.rows(rows, _COLUMNS, "No image yet. Have one built: gatelodge server add pypi:...")


@image.command("show")
@click.argument("digest", metavar="IMAGE")
@click.option("--sbom", is_flag=True, help="Its bill of materials (CycloneDX 1.6 JSON), alone.")
@click.option("--lock", is_flag=True, help="What its packages were installed by, alone.")
@click.pass_obj
def show(terminal: CommandRun, digest: str, *, sbom: bool, lock: bool) -> None:
    """Show one image, by its digest or the beginning of it: its packages, its own command."""
    gate = terminal.gate
    if sbom or lock:
        found = gate.get(gate.here("images", digest, "documents"))
        # As it is kept: whoever reads it compares its digest.
        click.echo(found["sbom" if sbom else "lock"], nl=False)
        return
    terminal.show(gate.get(gate.here("images", digest)), _format_image)


@image.command("remove")
@click.argument("digest", metavar="IMAGE")
@dry_run
@yes
@click.pass_obj
def remove(terminal: CommandRun, digest: str, *, dry_run: bool, yes: bool) -> None:
    """Remove an image that no server has, with what no other image needs."""
    gate = terminal.gate
    if not dry_run:
        terminal.sure(f"Remove the image {digest}?", yes=yes)
    query = {"dry_run": True} if dry_run else {}
    made = gate.post(gate.here("images", digest, "remove"), **query)
    told = "Would remove" if dry_run else "Removed"
    terminal.show(made, lambda it: f"{told} {it['image'][:19]} of {output.clean(it['source'])}.")


def _shown_row(each: dict[str, Any]) -> dict[str, Any]:
    return {**_readable_facts(each), "image": each["image"][:19]}


def _readable_facts(each: dict[str, Any]) -> dict[str, Any]:
    """The same for people: a size in MiB, a time to the second."""
    size = f"{each['size'] / _MIB:.1f} MiB"
    built = f"{each['built'][:19]}Z"
    return {**each, "size": size, "built": built, "used_by": ", ".join(each["used_by"]) or "-"}


def _format_image(found: dict[str, Any]) -> str:
    materials = found.pop("materials")
    shown = _readable_facts(found)
    rows = [each for each in materials if each["purl"] or each["kind"] == "platform"]
    head = output.fields(shown.items())
    return f"{head}\n\n{output.listing(('name', 'version', 'purl'), rows)}"
