"""Keys that stand twice in an object: a parser keeps one of them and says nothing."""

import re
from collections.abc import Mapping

import msgspec
from msgspec import Raw

_encode = msgspec.json.Encoder().encode
_text = msgspec.json.Decoder(str).decode
_NAME = re.compile(rb'[ \t\r\n]*+("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL)
_END = re.compile(rb"[ \t\r\n]*+[,}]")


def repeats_a_key(text: bytes | Raw, members: Mapping[str, Raw]) -> bool:
    """Say whether the object `text`, decoded as `members`, held a key twice on its top level.

    Compact JSON with plain keys is settled by its length; anything else is walked once, from
    member to member: each value is known, so none is parsed again.
    """
    if len(_encode(members)) == len(text):
        # Written anew nothing ever gets longer, and a second key would have been left out.
        return False
    raw = bytes(text)
    at, count = raw.find(b"{") + 1, 0
    while name := _NAME.match(raw, at):
        value = bytes(members.get(_text(name[1]), b""))
        if not value or not raw.startswith(value, name.end()):
            return True  # another value stands there than the one that was kept: the last one
        end = _END.match(raw, name.end() + len(value))
        if end is None:
            return True
        count, at = count + 1, end.end()
    return count != len(members)
