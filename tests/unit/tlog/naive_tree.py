"""The tree exactly as RFC 6962 clause 2.1 writes it down, recursive and slow: the judge of ours."""

from hashlib import sha256

CT_LEAVES = [
    bytes.fromhex(each)
    for each in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]


def bodies(count: int) -> list[bytes]:
    return [b"leaf %d" % i for i in range(count)]


def left(width: int) -> int:
    k = 1
    while k * 2 < width:
        k *= 2
    return k


class NaiveTree:
    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves
        self.seen: dict[tuple[int, int], bytes] = {}

    def root(self, start: int, end: int) -> bytes:
        if end == start:
            return sha256(b"").digest()
        if (start, end) not in self.seen:
            if end - start == 1:
                whole = b"\x00" + self.leaves[start]
            else:
                middle = start + left(end - start)
                whole = b"\x01" + self.root(start, middle) + self.root(middle, end)
            self.seen[start, end] = sha256(whole).digest()
        return self.seen[start, end]

    def path(self, index: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + left(end - start)
        if index < middle:
            return [*self.path(index, start, middle), self.root(middle, end)]
        return [*self.path(index, middle, end), self.root(start, middle)]

    def subproof(self, old: int, start: int, end: int, whole: bool) -> list[bytes]:
        if old == end:
            return [] if whole else [self.root(start, end)]
        middle = start + left(end - start)
        if old <= middle:
            return [*self.subproof(old, start, middle, whole), self.root(middle, end)]
        return [*self.subproof(old, middle, end, False), self.root(start, middle)]

    def node(self, level: int, index: int) -> bytes:
        return self.root(index << level, (index + 1) << level)
