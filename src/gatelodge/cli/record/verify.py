"""`gatelodge audit verify`: the verdict on a proof file, without a gate, a database, a network."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from gatelodge.cli import output
from gatelodge.cli.lazy import JsonCommand
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Invalid

_FILE = click.Path(path_type=Path)


@click.command("verify", cls=JsonCommand)
@click.argument("file", type=_FILE)
@click.option(
    "--key",
    "keys",
    multiple=True,
    required=True,
    metavar="VKEY|FILE",
    help="The log's key from a source you trust, or a file that holds it; may be repeated.",
)
@click.pass_obj
@click.pass_context
def verify(ctx: click.Context, terminal: CommandRun, file: Path, keys: tuple[str, ...]) -> None:
    """Check a proof: VERIFIED (exit 0), TAMPERED (1), or UNVERIFIABLE (2).

    Nothing is believed but the key that you bring.
    """
    from gatelodge.core.records.verify import verify_proof

    report = verify_proof(_read_file(file), [line for key in keys for line in keys_of(key)])
    terminal.show(report, lambda _: _format_report(report))
    # What cannot be judged, for want of a key or of a form, accuses nobody of tampering.
    ctx.exit({"VERIFIED": output.OK, "TAMPERED": output.NEGATIVE}.get(report.verdict, output.USAGE))


def _read_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise Invalid(f"{file} cannot be read ({error.strerror})") from None


def keys_of(key: str) -> list[str]:
    """The key itself, or each key of a file, one a line, `#` for remarks.

    What is a key is never taken for a file; a file may have any name else.
    """
    from gatelodge.tlog.errors import MalformedValue
    from gatelodge.tlog.note import VerifierKey

    with suppress(MalformedValue, ValueError):
        VerifierKey.parse(key)
        return [key]
    if key.count("+") >= 2 and not os.path.exists(key):  # noqa: PTH110 - Path raises for long ones
        return [key]  # a misspelled one, which is judged as such
    # A file of another encoding holds no key, which is said of its lines and not as a crash.
    lines = _read_file(Path(key)).decode("utf-8", "replace").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _format_report(report: Any) -> str:
    lines = [str(report.verdict), *(f"  {output.clean(reason)}" for reason in report.reasons)]
    if report.verdict == "VERIFIED":
        signers = output.clean(list(report.signed_by))
        lines.append(f"  log {output.clean(report.log)}, size {report.size}, signed by {signers}")
    for index, leaf in report.leaves.items():
        lines += ["", f"leaf {index}", output.fields(leaf.items())]
        if index in report.who:
            lines += ["called by", output.fields(report.who[index].items())]
    return "\n".join(lines)
