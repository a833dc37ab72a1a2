"""Packages whose own scripts an operator lets run when they are installed."""

import re
from typing import Final

from gatelodge.core.errors import Invalid
from gatelodge.core.hosting.source import ArtifactSource

MOST_SCRIPTS: Final = 16
_NAME: Final = re.compile(r"(?:@[a-z0-9~-][a-z0-9._~-]{0,99}/)?[a-z0-9~][a-z0-9._~-]{0,99}")


def refuse_scripts(run_scripts: tuple[str, ...], source: ArtifactSource) -> None:
    """Refuse scripts where only packages without them are taken. Raises Invalid."""
    if not run_scripts:
        return
    wheel = (
        "Build a wheel of it in a place of yours and name it with UV_FIND_LINKS."
        if source.kind == "pypi"
        else "Take it away."
    )
    raise Invalid(
        f"run_scripts: scripts run of packages of npm alone, not of {source.kind}:", remedy=wheel
    )


def check_scripts(run_scripts: tuple[str, ...], source: ArtifactSource) -> None:
    """Refuse names of packages that none can have, or that no installer runs. Raises Invalid."""
    if source.kind != "npm":
        refuse_scripts(run_scripts, source)
    if len(run_scripts) > MOST_SCRIPTS:
        raise Invalid(f"run_scripts: at most {MOST_SCRIPTS} packages")
    for each in run_scripts:
        if _NAME.fullmatch(each) is None:
            raise Invalid(
                f"run_scripts: {each[:40]!r} is no name of a package",
                remedy="Write names without versions: --run-scripts esbuild,@scope/name",
            )
