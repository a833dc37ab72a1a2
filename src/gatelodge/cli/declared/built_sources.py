"""Servers of a file that name a package and no image: built, and given the image, before applying.

The gate judges a file whole and builds nothing for it; who applies it asks for the builds first.
"""

import tomllib
from typing import Any, Final

import tomli_w

from gatelodge.cli.rules.hosting import build_artifact
from gatelodge.cli.terminal import CommandRun

_UNBUILT: Final = f"sha256:{'0' * 64}"
"""Stands for the image that is not built, while a dry run judges the rest."""


def with_images(terminal: CommandRun, text: str, *, dry_run: bool) -> str:
    """The file with an image for each package; the same text where none is lacking.

    A server that is there with the same source keeps its image. Raises what a build failed of.
    """
    try:
        file = tomllib.loads(text)
    except (ValueError, RecursionError):
        return text  # the gate says what is wrong with it
    rows = file.get("servers")
    lacking = [row for row in rows if _lacks_image(row)] if isinstance(rows, list) else []
    if not lacking:
        return text
    gate = terminal.gate
    there = {row["alias"]: row.get("transport") or {} for row in gate.every(gate.here("servers"))}
    for row in lacking:
        script = str(row.pop("script", ""))
        known: dict[str, Any] = there.get(str(row.get("alias")), {})
        if known.get("source") == row["source"] and known.get("image"):
            row["image"] = known["image"]
            row.setdefault("run_scripts", list(known.get("run_scripts") or ()))
        elif dry_run:
            terminal.say(f"{row['source']} would be built.")
            row["image"] = _UNBUILT
        else:
            built = build_artifact(terminal, {"source": row["source"], "script": script})
            # The source as it was pinned: a tag was looked up while it was built.
            row |= {"image": built["image"], "source": built["source"]}
            row.setdefault("run_scripts", list(built["run_scripts"]))
    return tomli_w.dumps(file)


def _lacks_image(row: object) -> bool:
    return isinstance(row, dict) and isinstance(row.get("source"), str) and not row.get("image")
