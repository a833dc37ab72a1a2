"""JSON as others may write it: plain, odd, broken, and as much work as so many bytes can be."""

import json
import random

ODD = (
    b"null", b"true", b"0", b"-1", b"1e400", b"1.5", b"12345678901234567890123", b'""', b'"x"',
    b"[]", b"{}", b'"\\u0000"', b'"\\ud800"', b'"\xff"', b"NaN", b"[[]]", b'{"a":1,"a":2}',
)  # fmt: skip
UNITS = (
    b"[],", b"[ ],", b"{},", b'"",', b"1,", b'{"a":[]},', b'"\\\\",', b'"\\"",', b"[[],[]],",
    b'{"type":"resource_link","uri":"a:b","name":"n"},', b'{"type":"text","text":"t"},', b"null,",
    b'{"id": 7, "name": "some", "of": null},', b'"[{,}]",', b"\n", b" ", b"1e9,",
)  # fmt: skip


def value(dice: random.Random, depth: int = 3) -> object:
    """A small value."""
    kind = dice.randrange(9 if depth else 6)
    if kind == 6:
        return [value(dice, depth - 1) for _ in range(dice.randrange(4))]
    if kind > 6:
        names = ("a", "_meta", "content", "type", "uri", "é", "resource", "text", "")
        return {dice.choice(names): value(dice, depth - 1) for _ in range(dice.randrange(5))}
    return (None, True, 7, 1.5, "text", dice.choice(("", "\0", "é", "a:b", "resource")))[kind]


def piece(dice: random.Random, heaviest: int) -> bytes:
    """The text of a value: odd, small, or as heavy as so many bytes can be."""
    roll = dice.random()
    if roll < 0.4:
        return dice.choice(ODD)
    if roll < 0.8:
        return json.dumps(value(dice), separators=dice.choice([(",", ":"), (", ", ": ")])).encode()
    size = dice.choice((1_000, 20_000, heaviest // 4, heaviest))
    unit = dice.choice(UNITS)
    if dice.random() < 0.2:
        deep = dice.choice((5, 100, 127, 500, 900, size // 2))
        return b"[" * deep + b"]" * deep
    if dice.random() < 0.3:
        return (
            b'"' + dice.choice((b"lorem, ipsum ", b"\\n", b"\\\\", b"{[,]}")) * (size // 12) + b'"'
        )
    if dice.random() < 0.3:
        return b"{" + b",".join(b'"k%d":1' % n for n in range(size // 12)) + b"}"
    return b"[" + unit * (size // len(unit)) + b"1]"


def mutated(dice: random.Random, text: bytes) -> bytes:
    """The text, mostly as it is; else with some bytes taken out, doubled or exchanged."""
    for _ in range(dice.choice((0, 0, 0, 1, 1, 3))):
        at, length = dice.randrange(len(text) + 1), dice.choice((1, 1, 4, 40))
        middle = text[at : at + length]
        middle = dice.choice((b"", middle * 2, dice.choice(ODD), bytes((dice.randrange(256),))))
        text = text[:at] + middle + text[at + length :]
    return text
