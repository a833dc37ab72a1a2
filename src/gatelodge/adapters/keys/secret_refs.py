"""Secret references: `file:` and `env:`, resolved when they are needed and never kept.

What `vault:` names is read by `adapters.keys.vault.resolver`, which has a store to read.
"""

import os
import stat
from collections.abc import Callable, Hashable, Mapping

from gatelodge.core.catalog.references import HOW, half_reference, literal, reference
from gatelodge.core.catalog.server import Transport
from gatelodge.core.errors import KeyUnreachable

_MAX_BYTES = 64 * 1024


def _from_file(place: str) -> str:
    """The text of an absolute path's file, without the newline at its end."""
    try:
        # Without O_NONBLOCK a pipe in that place would be waited for.
        file = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or "is not a path"
        raise _unreachable_secret_error(
            "file", place, why, "Check the path and its owner."
        ) from None
    try:
        # A link is followed here, since orchestrators mount secrets as links; so it is what was
        # opened that is judged.
        seen = os.fstat(file)
        if not stat.S_ISREG(seen.st_mode):
            raise _unreachable_secret_error(
                "file", place, "is not a regular file", "Point to a file."
            )
        if seen.st_mode & (stat.S_IROTH | stat.S_IWOTH):
            why = "can be read or written by every user of this machine"
            raise _unreachable_secret_error("file", place, why, f"Run `chmod o= {place}`.")
        text = os.read(file, _MAX_BYTES + 1)
    except OSError as fault:
        raise _unreachable_secret_error(
            "file", place, str(fault.strerror), "Check the file."
        ) from None
    finally:
        os.close(file)
    if len(text) > _MAX_BYTES:
        raise _unreachable_secret_error(
            "file", place, "is larger than 64 KiB", "Point to the secret alone."
        )
    try:
        return text.decode("utf-8").removesuffix("\n").removesuffix("\r")
    # The error holds the bytes of the secret, so it is not chained to the one that is told.
    except UnicodeDecodeError:
        raise _unreachable_secret_error(
            "file", place, "is not UTF-8 text", "Store the secret as text."
        ) from None


def _from_environment(name: str) -> str:
    """The environment variable's value."""
    value = os.environ.get(name)
    if value is None:
        raise _unreachable_secret_error(
            "env", name, "is not set", "Set it where gatelodge is started."
        )
    return value


def _from_no_vault(name: str) -> str:
    """Nothing: whoever reads it has no workspace, such as a setting."""
    why = "is read for servers only"
    raise _unreachable_secret_error("vault", name, why, "Write env:NAME or file:/PATH there.")


SOURCES: dict[str, Callable[[str], str]] = {
    "file": _from_file,
    "env": _from_environment,
    "vault": _from_no_vault,
}


class SecretRefs:
    """The port `Secrets`: a table of URI schemes."""

    def resolve(self, value: str) -> str:
        """The secret behind `file:/PATH` or `env:NAME`, with the word before it; else the text.

        Raises KeyUnreachable with the reference (never the value) in its detail.
        """
        found = reference(value)
        if found is None:
            return literal(value)
        wrong = half_reference(value)
        if wrong:
            raise KeyUnreachable(f"secret {found.scheme}:{found.place}: {wrong}", remedy=HOW)
        return found.before + SOURCES[found.scheme](found.place)

    async def resolve_all(
        self,
        values: Mapping[str, str],
        workspace: str,  # noqa: ARG002 - what is read here belongs to the whole gate
        owner: str,  # noqa: ARG002 - and to nobody of it
    ) -> dict[str, str]:
        """The same of values by name; there is no vault here. Raises KeyUnreachable."""
        return {name: self.resolve(value) for name, value in values.items()}

    def edition(self, transport: Transport, workspace: str) -> Hashable:  # noqa: ARG002
        """The same for ever: files and variables are read anew at each start."""
        return None


def _unreachable_secret_error(scheme: str, place: str, why: str, remedy: str) -> KeyUnreachable:
    return KeyUnreachable(f"secret {scheme}:{place} {why}", remedy=remedy)
