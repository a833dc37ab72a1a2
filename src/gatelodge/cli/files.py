"""Files that a command writes what the gate told it into."""

import os
from pathlib import Path

from gatelodge.core.errors import Invalid


def write_new_file(file: Path, text: str) -> None:
    """Make the file, for its owner's eyes only. Raises Invalid, also when it is there already."""
    try:
        # No link is followed and no file taken over that somebody else can read.
        made_for = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(made_for, "w", encoding="utf-8", newline="") as out:
            out.write(text)
    except OSError as error:
        raise Invalid(f"{file} cannot be written ({error.strerror})") from None
