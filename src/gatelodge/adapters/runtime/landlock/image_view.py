"""What a program of an image is shown: the image's files, read-only, and nothing of the machine."""

from pathlib import Path
from typing import Final

from gatelodge.adapters.runtime.landlock.host_view import HostView

_OUR_OWN: Final = frozenset(("proc", "sys", "dev", "tmp", "run"))
"""What is made anew for each instance, or not at all, whatever the image has there."""


def make_image_view(root: Path) -> HostView:
    """Show all that stands at the top of an image's files. Raises OSError when it is gone."""
    view = HostView()
    for each in sorted(root.iterdir()):
        if each.name in _OUR_OWN:
            continue
        if each.is_symlink():
            view.links.append((f"/{each.name}", str(each.readlink())))
        else:
            view.binds.append((str(each), f"/{each.name}", "run"))
    return view
