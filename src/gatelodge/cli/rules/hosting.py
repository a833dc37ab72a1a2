"""Servers that the gate hosts: built from a package, upgraded, rolled back."""

from pathlib import Path
from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.house.job import await_job
from gatelodge.cli.lazy import JsonCommand, dry_run
from gatelodge.cli.rules.serving import hosted_parts, pairs
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Conflict, Invalid, NotFound
from gatelodge.core.hosting.naming import alias_of_source
from gatelodge.core.hosting.source import ArtifactSource, is_source, read_source

_LIMITS = ("memory_mib", "cpus", "processes", "tmp_mib")
_MIB = 1 << 20


def package_words(alias: str, words: tuple[str, ...]) -> tuple[str, str, tuple[str, ...]] | None:
    """Alias, source and arguments, where a package was named; None for other servers.

    The alias may be left out: then it follows from the package. Raises Invalid.
    """
    if is_source(alias):
        return alias_of_source(whole_source(alias)), whole_source(alias), words
    if words and is_source(words[0]):
        return alias, whole_source(words[0]), words[1:]
    return None


def whole_source(source: str) -> str:
    """The source; a file by its whole path, since the gate runs in another directory."""
    kind, _, name = source.partition(":")
    path = Path(name)
    if kind in ("mcpb", "oci") and name and path.exists():
        return f"{kind}:{path.absolute()}"
    read_source(source)
    return source


def build_artifact(terminal: CommandRun, wish: dict[str, Any]) -> dict[str, Any]:
    """Have a package built, and tell on the way how far it is; what it became.

    Raises what the build failed of.
    """
    gate, told = terminal.gate, ""

    def tell(found: dict[str, Any]) -> None:
        nonlocal told
        if found["stage"] and found["stage"] != told and not terminal.json:
            told = found["stage"]
            click.echo(f"{output.clean(wish['source'])}: {output.clean(told)}", err=True)

    built = await_job(terminal, gate.post(gate.here("artifacts"), wish), tell)
    terminal.say(_built_message(built))
    return built


def artifact_transport(
    built: dict[str, Any], args: tuple[str, ...], given: dict[str, Any]
) -> dict[str, Any]:
    """How a server is reached that is built from a package, in the words of the API."""
    parts = hosted_parts(given)
    limits = {name: parts.pop(name) for name in _LIMITS if name in parts}
    return {
        "type": "artifact",
        "source": built["source"],
        "image": built["image"],
        "args": args,
        "env": pairs(given["env"], "--env"),
        "files": pairs(given["files"], "--file"),
        "egress": given["egress"],
        "run_scripts": built["run_scripts"],
        "limits": limits,
        **parts,
    }


def must_be_free(terminal: CommandRun, alias: str) -> None:
    """Refuse an alias that is taken, before anything is built for it. Raises Conflict."""
    try:
        there = terminal.gate.get(terminal.gate.here("servers", alias))
    except NotFound:
        return
    hosted = there["kind"] == "artifact"
    instead = f"server upgrade {alias} @VERSION" if hosted else f"server remove {alias}"
    raise Conflict(
        f"there is a server {alias!r} already",
        remedy=f"Choose another alias, or: gatelodge {instead}",
    )


@click.command("upgrade", cls=JsonCommand)
@click.argument("alias")
@click.argument("version", default="", metavar="[@VERSION | SOURCE]")
@dry_run
@click.pass_obj
def upgrade(terminal: CommandRun, /, alias: str, version: str, *, dry_run: bool) -> None:
    """Build a hosted server anew, and show what changed; it waits for `server approve` again.

    Without a version the same one is built with what it needs now, on this machine's present
    programs. A file and a URL have no versions: another one is named by its whole source. With
    --dry-run the image is built and kept, and the server stays as it is.
    """
    before = _hosted_transport(terminal, alias)
    source = _other_version(before["source"], version)
    old = _kept_image(terminal, before["image"])
    # Of an image that is not here, which only a file named, nobody knows how it was built.
    lost = {"script": "", "programs": [], "run_scripts": before["run_scripts"]}
    how = lost if old is None else old
    wish = {
        "source": source,
        "script": how["script"],
        "programs": how["programs"],
        "run_scripts": how["run_scripts"],
        "rebuild": old is not None,
    }
    built = build_artifact(terminal, wish)
    _move_to_image(terminal, alias, before, built, dry_run=dry_run)


def _other_version(before: str, version: str) -> str:
    """What is to be built in the place of a source. Raises Invalid."""
    source, wanted = read_source(before), version.removeprefix("@")
    if is_source(version):
        return whole_source(version)
    if wanted and (source.file or source.kind == "url"):
        raise Invalid(
            f"{source.kind}: has no versions",
            remedy="Name the other one by its whole source, as in `server add`.",
        )
    return ArtifactSource(source.kind, source.name, wanted or source.version).text


@click.command("rollback", cls=JsonCommand)
@click.argument("alias")
@click.argument("image", default="", metavar="[IMAGE]")
@dry_run
@click.pass_obj
def rollback(terminal: CommandRun, /, alias: str, image: str, *, dry_run: bool) -> None:
    """Go back to the image of the same package that was built before; nobody outside is asked.

    With an image (its digest, or the beginning of it) to that one. The server waits for `server
    approve` again.
    """
    gate = terminal.gate
    before = _hosted_transport(terminal, alias)
    if image:
        chosen = gate.get(gate.here("images", image))
        _move_to_image(terminal, alias, before, chosen, dry_run=dry_run)
        return
    package = _package_of(before["source"])
    every = gate.every(gate.here("images"))
    same = [each for each in every if _package_of(each["source"]) == package]
    digests = [each["image"] for each in same]
    earlier = same[digests.index(before["image"]) + 1 :] if before["image"] in digests else same
    if not earlier:
        raise Conflict(
            f"no earlier image of {package} is kept",
            remedy="See `gatelodge image list`, and name one: gatelodge server rollback "
            f"{alias} IMAGE; another version: gatelodge server upgrade.",
        )
    _move_to_image(terminal, alias, before, earlier[0], dry_run=dry_run)


def _package_of(source: str) -> str:
    found = read_source(source)
    return f"{found.kind}:{found.name}"


def _hosted_transport(terminal: CommandRun, alias: str) -> dict[str, Any]:
    found: dict[str, Any] = terminal.gate.get(terminal.gate.here("servers", alias))
    if found["kind"] != "artifact":
        raise Invalid(
            f"{alias} is not built from a package",
            remedy=f"Change how it is reached: gatelodge server edit {alias} --help",
        )
    transport: dict[str, Any] = found["transport"]
    return transport


def _kept_image(terminal: CommandRun, digest: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = terminal.gate.get(terminal.gate.here("images", digest))
    except NotFound:
        return None
    return found


def _move_to_image(
    terminal: CommandRun,
    alias: str,
    before: dict[str, Any],
    after: dict[str, Any],
    *,
    dry_run: bool,
) -> None:
    """Show what differs, and let the server have the other image."""
    gate = terminal.gate
    if after["image"] == before["image"]:
        terminal.show(
            {"alias": alias, "image": after["image"], "changes": []},
            lambda _: (
                f"Nothing differs: {alias} has this image already.\n"
                f"Where it was not here before: gatelodge server observe {alias}"
            ),
        )
        return
    differ: dict[str, Any] = {"changes": [], "after": after["image"], "size_after": after["size"]}
    if _kept_image(terminal, before["image"]) is not None:
        differ = gate.get(gate.here("images", before["image"], "diff", after["image"]))
    wish = {name: after[name] for name in ("source", "image", "run_scripts")}
    path = gate.here("servers", alias, "edit")
    gate.post(path, wish, **({"dry_run": True} if dry_run else {}))
    told = {"alias": alias, "source": after["source"], **differ, "dry_run": dry_run}
    terminal.show(told, _format_difference)


def _format_difference(told: dict[str, Any]) -> str:
    rows = [
        {**each, "before": each["before"] or "-", "after": each["after"] or "-"}
        for each in told["changes"]
    ]
    lines = [output.listing(("name", "before", "after"), rows)] if rows else []
    size = f"{told['size_after'] / _MIB:.1f} MiB after; image {told['after'][:19]}"
    if "size_before" in told:
        size = f"{len(rows)} differ; {told['size_before'] / _MIB:.1f} MiB before, {size}"
    else:
        size = f"The image before is not here, so nothing can be compared; {size}"
    lines.append(size)
    if told["dry_run"]:
        lines.append("The server stays as it is (dry run); the image is kept.")
    else:
        alias = told["alias"]
        lines.append(
            f"{alias} waits for its approval; grants and pins stay.\n"
            f"Next: gatelodge server observe {alias}, then gatelodge server approve {alias}"
        )
    return "\n".join(lines)


def _built_message(built: dict[str, Any]) -> str:
    size = f"{built['packages']} packages, {built['size'] / _MIB:.1f} MiB"
    if built["reused"]:
        return f"{built['source']} was built before: {size}, image {built['image'][:19]}"
    steps = ", ".join(f"{e['name']} {e['milliseconds'] / 1000:.1f} s" for e in built["stages"])
    told = f"{built['source']} is built: {size}, image {built['image'][:19]} ({steps})"
    if built["run_scripts"]:
        told += f"\nScripts of these packages ran: {', '.join(built['run_scripts'])}"
    if built["unconfined"]:
        told += f"\nIt was fetched by the gate's own user, in no sandbox: {built['unconfined']}"
    return told
