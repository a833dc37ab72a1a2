"""The index of the logs, and what fills it."""

from functools import partial

from gatelodge.adapters.ledger.search.index import SqlSearchIndex
from gatelodge.adapters.store.database import Database
from gatelodge.app.build import OpenResources
from gatelodge.flows.audit.index.filler import IndexFiller
from gatelodge.ports.search_index import SearchIndex


def search_index(database: Database) -> SqlSearchIndex:
    """The index in this database; whoever else writes there goes before it."""
    return SqlSearchIndex(partial(database.write, "last"), database.read)


def index_filler(ground: OpenResources, index: SearchIndex) -> IndexFiller:
    """What fills it on the node that leads."""
    leads = ground.sequencer.leads
    return IndexFiller(ground.ledger, index, ground.clock, ground.ids, leads)
