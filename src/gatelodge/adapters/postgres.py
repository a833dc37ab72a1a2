"""What every connection to PostgreSQL has in common: it notices a lost peer, and keeps its limits.

Without `LIVENESS` a connection whose peer vanished (a pulled cable, a firewall that forgot it) is
waited for as long as the system likes: some fifteen minutes, or for ever where nothing is being
sent.
"""

from collections.abc import Mapping
from typing import Any, Final

LIVENESS: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 5_000,
}
"""Parameters of libpq (PostgreSQL 16 manual, 34.1.2): seconds, but milliseconds for the last."""


def with_ours(given: str | int | None, ours: Mapping[str, str]) -> str:
    """The `options` of a URL with ours behind them: of two for one parameter the last one counts.

    So a limit that somebody sets to none for their own queries does not become the gate's, which
    would wait with its lease in its hand.
    """
    return " ".join(
        [str(given or ""), *(f"-c {name}={value}" for name, value in ours.items())]
    ).strip()
