"""What the tests of this folder share: heavy JSON, and a throw whose stall is told.

A throw is made up to four times and its shortest stall counts: a machine with other work to do, or
code that is loaded for the first time, makes the same step longer, and nothing makes it shorter.
"""

from collections.abc import Callable

from tests.fuzz.oracles import STALL
from tests.integration.attacks.stalls.watched_gate import WatchedGate
from tests.stage import Place

MIB = 1 << 20
BODY = 4 * MIB - 4096
"""As much as a request may have at the default limits, but for what stands around it."""
RESULT = 6 * MIB - 4096
"""The same of a server's result."""
VALUES = 147_000
"""As many values as a message may hold, but for what stands around them."""
UNITS = {
    "lists": b"[],",
    "spaced": b"[ ],",
    "objects": b"{},",
    "texts": b'"",',
    "numbers": b"1,",
    "nested": b'{"a":[]},',
    "backslashes": b'"\\\\",',
    "quotes": b'"\\"",',
    "marks": b'"[{,}]",',
    "letters": '"\u00e9",'.encode(),
    "escapes": b'"\\u0041",',
    "links": b'{"type":"resource_link","uri":"a:b","name":"n"},',
    "blocks": b'{"type":"text","text":"t"},',
}
"""Elements of which an array can be made."""
_ROUNDS = 4


def array(unit: bytes, size: int) -> bytes:
    """An array of so many bytes, of one element again and again."""
    return b"[" + unit * (size // len(unit)) + b"1]"


def heaviest(unit: bytes, size: int) -> bytes:
    """The same with no more values than a message may hold."""
    weight = unit.count(b",") + unit.count(b"[") + unit.count(b"{")
    return array(unit, min(size, VALUES // weight * len(unit)))


def keys(count: int, value: bytes = b"1") -> bytes:
    """An object of so many members."""
    return b"{" + b",".join(b'"k%d":%b' % (number, value) for number in range(count)) + b"}"


def text(inside: bytes, size: int) -> bytes:
    """A string of so many bytes."""
    return b'"' + inside * (size // len(inside)) + b'"'


class Pitch:
    """A watched gate with a member who may use what there is, and a count of what was thrown."""

    def __init__(self, gate: WatchedGate, place: Place, token: str) -> None:
        self.gate = gate
        self.place = place
        self.token = token
        self._faults: list[str] = []

    def told(self) -> list[str]:
        """What stood still for too long since this was asked last."""
        faults, self._faults = self._faults, []
        return faults

    def throw(self, what: str, act: Callable[[], object]) -> None:
        """Do it under the watch, again while it takes long; keeps what stood still for too long."""
        worst = 1.0
        for _ in range(_ROUNDS):
            self.gate.longest()
            act()
            worst = min(worst, self.gate.longest())
            if worst < STALL:
                return
        self._faults.append(f"{what}: {worst * 1000:.0f} ms")
