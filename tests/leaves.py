"""The leaves of the logs as they lie in the database, read without a line of the gate's code.

A bundle is what C2SP tlog-tiles packs: each leaf behind its length in two bytes.
"""

import json
import sqlite3
from collections import Counter
from pathlib import Path

import psycopg

_QUERY = "SELECT entries FROM bundle WHERE log LIKE '{}' ORDER BY log, n"


def leaves_of(place, log="calls:%"):
    """Every leaf of every calls log, in order, or of one log.

    `place` is a data directory or a PostgreSQL URL.
    """
    if isinstance(place, Path):
        connection = sqlite3.connect(f"{(place / 'gatelodge.db').as_uri()}?mode=ro", uri=True)
    else:
        connection = psycopg.connect(place)
    try:
        bundles = [bytes(row[0]) for row in connection.execute(_QUERY.format(log)).fetchall()]
    finally:
        connection.close()
    return [json.loads(leaf) for bundle in bundles for leaf in _unpacked(bundle)]


def _unpacked(bundle):
    at = 0
    while at < len(bundle):
        end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
        yield bundle[at + 2 : end]
        at = end


class Calls:
    """The calls of a log: intents, and what closed each."""

    def __init__(self, leaves):
        self.intents = {leaf["call"]: leaf for leaf in leaves if leaf["t"] == "call.intent"}
        self.intent_leaves = sum(leaf["t"] == "call.intent" for leaf in leaves)
        self.closers = [leaf for leaf in leaves if leaf["t"] in ("call.outcome", "call.unresolved")]
        self.late = sum(leaf["t"] == "call.late" for leaf in leaves)

    def is_paired(self):
        """Assert that each intent is closed once, and nothing else is."""
        assert len(self.intents) == self.intent_leaves
        assert sorted(leaf["call"] for leaf in self.closers) == sorted(self.intents)

    @property
    def tools(self):
        """How many intents there are for each tool."""
        return Counter(leaf["tool"] for leaf in self.intents.values())

    def outcomes(self, outcome):
        """How many calls of each tool ended like this."""
        ended = [leaf for leaf in self.closers if leaf.get("outcome") == outcome]
        return Counter(self.intents[leaf["call"]]["tool"] for leaf in ended)

    @property
    def unresolved(self):
        """The calls whose outcome nobody knows."""
        return [leaf for leaf in self.closers if leaf["t"] == "call.unresolved"]
