"""The real gov log under the real store, wired as the app wires them."""

from tests.ledgers import SEAL

from gatelodge.adapters.ledger import logs
from gatelodge.adapters.store.store import GovLog


def open_gov_log(database) -> GovLog:
    """Open the log of a migrated database."""
    with database.write() as connection:
        logs.open_log(connection, "gov", "localhost/gov")
    return GovLog(
        append=lambda connection, bodies: logs.append_leaves(connection, SEAL, "gov", bodies).size,
        read=lambda connection, start, stop: [
            leaf.body for leaf in logs.read_leaves(connection, "gov", start, stop)
        ],
        head=lambda connection: logs.head(connection, "gov").size,
    )
