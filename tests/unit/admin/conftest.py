"""A small house: the real store on SQLite with the real gov log, one workspace, one owner."""

import contextlib

import msgspec
import pytest
from anyio.from_thread import start_blocking_portal
from tests.fakes.world import CountedIds, StillClock
from tests.gov_log import open_gov_log
from tests.integration.nouns.declared import run
from tests.ledgers import new_database
from tests.wire import until

from gatelodge.adapters.keys.peppers import HmacPeppers
from gatelodge.adapters.store.store import SqlStore
from gatelodge.core.errors import StoreDown
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import members, workspaces

KEYS = {"log": "aa" * 16, "peppers/1": "bb" * 16}
PEPPER = b"\x07" * 32


class House:
    """Runs changes one by one, each in a transaction of its own, and reads their leaves."""

    def __init__(self, portal, store, directory, clock) -> None:
        self._portal = portal
        self.store = store
        self.directory = directory
        self.clock = clock
        self.ids = CountedIds()
        self.peppers = HmacPeppers({"1": PEPPER})
        self._read = 0

    def do(self, change, *args, by="local", why="", **named):
        """What the change returns; its error is raised here."""

        def work(tx):
            act = GovernanceAct(tx=tx, by=by, at=self.clock.now(), ids=self.ids, why=why)
            return run(act, change, *args, **named)

        given, _ = self._portal.call(self.store.change, work)
        return given

    def look(self, question, *args):
        """What a reading function says."""
        return self._portal.call(self.store.read, lambda tx: question(tx, *args))

    def find(self, noun, **equals):
        return self.look(lambda tx: tx.find(noun, **equals))

    def leaves(self):
        """Type and subject of the leaves since the last call."""
        return [(leaf["t"], leaf["subject"]) for leaf in self.whole_leaves()]

    def whole_leaves(self):
        seen = until(self._polled)
        self._read = seen.gov
        return [msgspec.json.decode(leaf) for leaf in seen.leaves]

    def _polled(self):
        """What is new; None where a busy machine takes longer than a node waits for its store."""
        with contextlib.suppress(StoreDown):
            return self._portal.call(self.store.poll, self._read)
        return None

    def member(self, name, role="member", by="local"):
        """A new member's id."""
        told = (f"{name}@example.com", name.title(), role)
        return self.do(members.add, self.workspace, *told, by=by).id


@pytest.fixture(scope="session")
def portal():
    with start_blocking_portal() as opened:
        yield opened


@pytest.fixture
def empty(portal, tmp_path):
    """A house before its first start."""
    database = new_database(tmp_path)
    clock = StillClock()
    store = SqlStore(database, open_gov_log(database), clock, "nod_1")
    made = House(portal, store, tmp_path, clock)
    made.database = database
    yield made
    portal.call(store.close)
    database.close()


@pytest.fixture
def house(empty):
    """A house after its first start; `owner` and `token` are the first owner's."""
    owner = "olga@example.com"
    founded = empty.do(workspaces.start, empty.peppers, KEYS, owner, by="system")
    empty.workspace = founded.workspace.id
    empty.owner = founded.owner.id
    empty.token = founded.token
    empty.credential = founded.credential
    empty.leaves()
    return empty
