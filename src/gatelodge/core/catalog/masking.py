"""Secrets that are found in a server's words however those spell them, and are masked there.

A server tells a secret as its libraries write it: coloured, wrapped, in a URL, as JSON, in a Basic
header. So what only spells differently is undone before secrets are looked for, in them as in the
text. That hides now and then what is none, and is cheap: only a failed start is looked through.
"""

import base64
import re
from collections.abc import Iterable

COLOURS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
MOST_LETTERS = 6
"""The most bytes in which a byte of a secret may be spelled (`\\uXXXX`)."""
LEAST_HIDDEN = 8
"""A literal of the definition that is shorter is no secret, and masking it would hide words."""
_MASK = "[secret]"
_UNSAID = re.compile(r"[\s\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u2060-\u2064\ufeff+\\]")
"""What stands between letters, or for a space, and is looked for nowhere."""
_SPELLED = re.compile(
    rf"{COLOURS.pattern}|(?P<octets>(?:%[0-9A-Fa-f]{{2}})+)|(?P<units>(?:\\u[0-9A-Fa-f]{{4}})+)"
    rf"|\\[bfnrt]|{_UNSAID.pattern}"
)


class SecretMask:
    """Masks these secrets; of one with several lines each line too."""

    def __init__(self, secrets: Iterable[str]) -> None:
        pieces = {line for each in secrets for line in (each, *each.splitlines()) if line}
        self.longest = max((len(each.encode()) for each in pieces), default=0)
        """Bytes of the longest, as it is."""
        self._forms = {form for piece in pieces for form in _forms(piece) if form}

    def masked(self, text: str, begin: int = 0) -> str:
        """The text from `begin` on, without a secret, also when one begins before that."""
        plain, at = _undone(text)
        hidden = bytearray(len(text))
        for form in self._forms:
            found = plain.find(form)
            while found >= 0:
                first, last = at[found], at[found + len(form) - 1]
                hidden[first[0] : last[1]] = b"\x01" * (last[1] - first[0])
                found = plain.find(form, found + 1)
        parts, done = list[str](), begin
        for each in re.finditer(b"\x01+", hidden):
            if each.end() > begin:
                parts += (text[done : each.start()], _MASK)
                done = each.end()
        return "".join((*parts, text[done:]))


def _forms(secret: str) -> set[str]:
    """What to look for in a text of which the spelling is undone."""
    # As it is too: undone, a secret that holds a percent sign is not what its own coding says.
    forms = {_undone(secret)[0], _UNSAID.sub("", secret)}
    if len(secret) < LEAST_HIDDEN:
        return forms  # in base64 a few letters could be in any word
    for before in range(3):  # what stands before it, such as a name, moves it within its group
        octets = bytes(before) + secret.encode()
        whole = len(octets) * 8 // 6
        coded = base64.b64encode(octets).decode()[before and before + 1 : whole]
        forms |= {_UNSAID.sub("", coded), coded.replace("+", "-").replace("/", "_")}
    return forms


def _undone(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The letters that the text says, whoever spelled them how, and where each of them stands."""
    said: list[str] = []
    at: list[tuple[int, int]] = []
    done = 0
    for found in _SPELLED.finditer(text):
        said.append(text[done : found.start()])
        at += [(each, each + 1) for each in range(done, found.start())]
        done = found.end()
        letters = _UNSAID.sub("", _decoded(found))
        said.append(letters)
        at += [found.span()] * len(letters)
    said.append(text[done:])
    at += [(each, each + 1) for each in range(done, len(text))]
    return "".join(said), at


def _decoded(found: re.Match[str]) -> str:
    if found["octets"]:
        return bytes.fromhex(found["octets"].replace("%", "")).decode(errors="replace")
    if found["units"]:
        return bytes.fromhex(found["units"].replace("\\u", "")).decode("utf-16-be", "replace")
    return ""
