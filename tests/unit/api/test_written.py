"""A large answer that is written in parts is the same JSON."""

import json

import pytest

from gatelodge.web.api.rules import written
from gatelodge.web.api.rules.access import AccessCell, AccessMatrix


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
def test_what_is_written_in_parts_is_what_would_be_written_at_once(monkeypatch, count):
    monkeypatch.setattr(written, "PART", 3)
    cells = [
        AccessCell(
            principal=f"p{n}",
            tool="a/b",
            allowed=True,
            decision="allow",
            rule="",
            conditional=False,
        )
        for n in range(count)
    ]
    empty = AccessMatrix(workspace="main", gov=1, at="now", cells=())
    parts = written.in_parts(empty, "cells", iter(cells))
    whole = AccessMatrix(workspace="main", gov=1, at="now", cells=tuple(cells))
    assert parts == written._encode(whole)
    assert len(json.loads(parts)["cells"]) == count
