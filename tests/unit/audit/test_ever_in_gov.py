"""What ever stood in the gov log, of one workspace: however much of it others have."""

import json

import pytest

from gatelodge.core.records.origin import GOV, past
from gatelodge.flows.audit.reading import ever_in_gov
from gatelodge.ports.journal import LeafAt, LedgerHead

pytestmark = pytest.mark.anyio


class Ledger:
    """A gov log and an earlier shard of it, one leaf for each workspace that is named."""

    def __init__(self, **logs):
        self.logs = {
            past(GOV, 1) if name == "earlier" else GOV: [
                json.dumps({"t": "x", "workspace": each}).encode() for each in leaves
            ]
            for name, leaves in logs.items()
        }

    async def heads(self):
        return tuple(LedgerHead(log, "o", len(its), b"") for log, its in self.logs.items())

    async def containing(self, log, text, span, limit):
        start, stop = span
        found = enumerate(self.logs[log][start:stop], start)
        return [LeafAt(at, body, None) for at, body in found if text.encode() in body][:limit]


MANY = ["theirs"] * 1000


@pytest.mark.parametrize(
    ("ledger", "workspace", "limit", "found"),
    [
        (Ledger(now=["mine"]), "mine", 1, [0]),
        (Ledger(now=[*MANY, "mine", *MANY, "mine"]), "mine", 9, [1000, 2001]),
        (Ledger(now=[*MANY, "mine", "mine"]), "mine", 1, [1000]),
        (Ledger(now=MANY), "mine", 1, []),
        (Ledger(now=MANY), "theirs", 300, list(range(300))),
        (Ledger(now=[*MANY, ""]), "", 9, [1000]),
        (Ledger(now=["mine", "theirs", ""]), None, 9, [0, 1, 2]),
        (Ledger(now=["theirs", "mine"], earlier=["mine", "theirs"]), "mine", 9, [0, 1]),
        (Ledger(now=["mine"], earlier=["theirs", "theirs", "mine"]), "mine", 1, [2]),
    ],
)
async def test_only_what_is_of_the_workspace_counts_also_towards_the_limit(
    ledger, workspace, limit, found
):
    told = await ever_in_gov(ledger, '"t": "x"', limit, workspace)
    assert [leaf.index for leaf in told] == found
