"""`gatelodge apply`: the state as a file that can be kept in git."""

from pathlib import Path
from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import Verb
from gatelodge.cli.terminal import Terminal
from gatelodge.core.errors import Invalid


@click.command("apply", cls=Verb)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.pass_obj
def apply(terminal: Terminal, file: Path, dry_run: bool) -> None:
    """Make the workspace equal to FILE (TOML or JSON), in one transaction."""
    gate = terminal.gate
    found = gate.post(gate.here("apply"), _document(file), dry_run=dry_run)
    terminal.show(found, _told)


def _document(file: Path) -> dict[str, Any]:
    import tomllib

    import msgspec

    try:
        raw = file.read_bytes()
        if file.suffix == ".json":
            document = msgspec.json.decode(raw)
        else:
            document = tomllib.loads(raw.decode())
    except OSError as error:
        raise Invalid(f"{file} cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.DecodeError) as error:
        raise Invalid(f"{file}: {error}") from None
    if not isinstance(document, dict):
        raise Invalid(f"{file}: wants a table of sections")
    return document


def _told(found: dict[str, Any]) -> str:
    changes = found["changes"]
    if not changes:
        return "Nothing differs."
    head = "Would change (dry run):" if found["dry_run"] else "Changed:"
    return "\n".join([head, *(f"  {output.clean(each)}" for each in changes)])
