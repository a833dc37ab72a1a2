"""DNS on the wire, as much of it as names of a list need: one question, at most one address.

What is read comes from the instance and may be anything. Pure functions over bytes (RFC 1035 4,
RFC 6891 6.2.3 for the size without EDNS, which is never exceeded).
"""

import socket
import struct
from typing import Literal

from msgspec import Struct

MOST_BYTES = 512
"""Of a question, over UDP and TCP; with EDNS none that a resolver asks comes near it."""
SECONDS_KEPT = 30
"""How long an answer may be kept: a name that is taken off the list is asked for again."""
_MOST_NAME = 255
_HEADER = struct.Struct("!6H")
_ADDRESS, _INTERNET = 1, 1
_RESPONSE, _OPCODE, _RECURSION_ASKED = 0x8000, 0x7800, 0x0100
_RECURSION_OFFERED = 0x0080
_NO_FAULT, _MALFORMED, _UNKNOWN_NAME, _NOT_DONE = 0, 1, 3, 4
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_")


class NameQuestion(Struct, frozen=True):
    """One question. `name` is in lower case without the last dot; `raw` as it was sent.

    A label that holds anything but letters, digits, hyphens and underscores is no name of a host:
    `name` is empty then, and nothing is on any list by it.
    """

    number: int
    flags: int
    name: str
    kind: Literal["address", "other"]
    raw: bytes


def read_question(data: bytes) -> NameQuestion | None:
    """The question of a message; None when it is not one that this can be an answer to."""
    if not _HEADER.size < len(data) <= MOST_BYTES:
        return None
    number, flags, questions, answers, authorities, more = _HEADER.unpack_from(data)
    if flags & (_RESPONSE | _OPCODE) or (questions, answers, authorities) != (1, 0, 0) or more > 1:
        return None
    labels: list[bytes] = []
    at, end = _HEADER.size, min(len(data), _HEADER.size + _MOST_NAME)
    while at < end and data[at]:
        size = data[at]
        if size > 63:  # also a pointer: there is nothing before the question to point at
            return None
        labels.append(data[at + 1 : at + 1 + size].lower())
        at += 1 + size
    if at + 5 > len(data) or at >= end:
        return None
    kind, group = struct.unpack_from("!HH", data, at + 1)
    plain = all(_PLAIN.issuperset(label) for label in labels)
    return NameQuestion(
        number=number,
        flags=flags,
        name=b".".join(labels).decode("ascii") if plain else "",
        kind="address" if (kind, group) == (_ADDRESS, _INTERNET) else "other",
        raw=data[_HEADER.size : at + 5],
    )


def answer_question(asked: NameQuestion, address: str | None, *, known: bool) -> bytes:
    """The whole answer: the address, nothing (a known name without one), or that there is no such.

    Only a question for an address of IPv4 is answered with one; `known` names have no other kind.
    """
    if known and address is not None and asked.kind == "address":
        record = struct.pack("!HHHIH4s", 0xC00C, _ADDRESS, _INTERNET, SECONDS_KEPT, 4,
                             socket.inet_aton(address))  # fmt: skip
        return _reply_head(asked, _NO_FAULT, 1) + asked.raw + record
    return _reply_head(asked, _NO_FAULT if known else _UNKNOWN_NAME, 0) + asked.raw


def answer_malformed(data: bytes) -> bytes | None:
    """What a message that is no question gets; None = nothing, as an answer does."""
    if len(data) < _HEADER.size:
        return None
    number, flags, *_ = _HEADER.unpack_from(data)
    if flags & _RESPONSE:
        return None
    fault = _NOT_DONE if flags & _OPCODE else _MALFORMED
    flags = _RESPONSE | flags & (_OPCODE | _RECURSION_ASKED) | fault
    return _HEADER.pack(number, flags, 0, 0, 0, 0)


def _reply_head(asked: NameQuestion, fault: int, answers: int) -> bytes:
    flags = _RESPONSE | asked.flags & _RECURSION_ASKED | _RECURSION_OFFERED | fault
    return _HEADER.pack(asked.number, flags, 1, answers, 0, 0)
