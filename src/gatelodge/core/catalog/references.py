"""References to secrets in the words of a server: what is one, what only looks like one.

`vault:NAME`, `env:NAME` and `file:/PATH` are read when they are needed; one word may stand before
them, as in `Bearer env:NAME`. `text:ANYTHING` is the text after the colon. Whatever else looks like
a reference is refused when it is written: it would be sent as it stands.
"""

import re

from msgspec import Struct

_REFERENCE = re.compile(r"((?:[A-Za-z][A-Za-z0-9_-]{0,31} +)?)(env|file|vault):(.*)", re.DOTALL)
_TEXT = "text:"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRET_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
"""How a secret of the vault is called: no address of a machine named `vault` looks like it."""
_HALF = re.compile(r"(?:^|[^A-Za-z0-9_-])(?:env|file)[ ]*:|(?:^|\s)vault[ ]*:(?!\d)", re.IGNORECASE)
_DOLLAR = re.compile(r"\$\{[^{}]*\}|^\$[A-Za-z_]\w*$|^(?:[A-Za-z]+ )\$[A-Za-z_]\w*$")
_IN_COMMAND = re.compile(r"(?:--?[\w-]+=)?(?:\$\{[^{}]*\}|env:[A-Za-z_]\w*|vault:[A-Za-z][\w.-]*)")
HOW = (
    "Write vault:NAME, env:NAME or file:/PATH, alone or after one word (Bearer env:NAME); "
    "text:... for a text that only looks like that."
)


class SecretReference(Struct, frozen=True):
    """Where a secret is; `before` is the text that stands before it."""

    before: str
    scheme: str
    place: str


def reference(value: str) -> SecretReference | None:
    """The reference that a value is; None for a text."""
    found = _REFERENCE.fullmatch(value)
    return None if found is None else SecretReference(found[1], found[2], found[3])


def literal(value: str) -> str:
    """The text that a value which is no reference stands for."""
    return value.removeprefix(_TEXT)


def half_reference(value: str) -> str:
    """What is wrong with a value that looks like a reference and is none; "" for all others."""
    # Else no text that happens to look like a reference could be sent at all.
    if value.startswith(_TEXT):
        return ""
    found = reference(value)
    if found is None:
        # Nothing would read it: the server would be sent the words in place of the secret.
        looks = _HALF.search(value) or _DOLLAR.search(value)
        return "looks like a reference and is none" if looks else ""
    if found.scheme == "env" and _VARIABLE.fullmatch(found.place) is None:
        return "env: wants the name of a variable"
    if found.scheme == "vault" and SECRET_NAME.fullmatch(found.place) is None:
        return "vault: wants the name of a secret"
    # What a relative path means depends on the directory in which the gate was started.
    if found.scheme == "file" and not found.place.startswith("/"):
        return "file: wants an absolute path"
    return ""


def unread_reference(word: str) -> bool:
    """True for a word of a command or an address that somebody took for a reference."""
    return _IN_COMMAND.fullmatch(word) is not None
