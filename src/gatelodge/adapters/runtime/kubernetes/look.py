"""What an instance is, looked at from both sides: at its start, and whenever somebody asks.

One side is the pod as the cluster keeps it, the other is what the bridge reads and can reach.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from msgspec import structs

from gatelodge.adapters.runtime.kubernetes.api import ClusterApi
from gatelodge.adapters.runtime.kubernetes.attestation import changes, read_facts
from gatelodge.adapters.runtime.kubernetes.callback import callback_port
from gatelodge.adapters.runtime.kubernetes.connection import BridgeConnection
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import IsolationFacts

_ANSWER_SECONDS: Final = 20.0
_KEPT_IN_SECONDS: Final = 3.0
"""How long a network may take to learn of a new pod, before it counts as open."""
_MEND_GONE: Final = "See what the cluster did with it: kubectl get events."


class SurroundingsLook:
    """Looks around in one pod. It holds nothing of what the server was given."""

    def __init__(
        self,
        api: ClusterApi,
        connection: BridgeConnection,
        sent: Mapping[str, Any],
        *,
        strong_class: str,
        processes: int,
    ) -> None:
        """`sent` is the spec of the pod that was asked for."""
        self._api, self._connection, self._sent = api, connection, sent
        self._strong_class, self._processes = strong_class, processes
        self.reached: tuple[str, ...] = ()
        """What the bridge could connect to when it was last read, and should not."""

    async def inside(self, token: str = "", *, tried: bool = True) -> dict[str, Any]:
        """What the bridge finds, and reaches where that is `tried`. Raises UpstreamUnreachable.

        The first time it is shown the token.
        """
        connection = self._connection
        async with callback_port(connection.own_address) as port:
            around = {
                "places": [list(self._api.address())],
                "callback": port,
                "seconds": _KEPT_IN_SECONDS if tried else 0.0,
                "processes": self._processes,
            }
            found = await connection.look_around(around, _ANSWER_SECONDS, token)
        if found is None:
            raise UpstreamUnreachable("Its bridge said nothing in time.", remedy=MEND_REACH)
        return found

    def read(self, stored: Mapping[str, Any], inside: Mapping[str, Any]) -> IsolationFacts:
        """The facts, from both sides. Raises UpstreamUnreachable when they cannot be read."""
        try:
            self.reached = tuple(map(str, inside["reached"]))
            return read_facts(stored, inside, self._strong_class)
        except (LookupError, TypeError, ValueError, AttributeError):
            text = "What its bridge says of its surroundings cannot be read."
            raise UpstreamUnreachable(text, remedy=MEND_REACH) from None

    async def again(self, instance: str) -> IsolationFacts:
        """The facts of now. Raises UpstreamUnreachable.

        A pod that is not what was asked for any more (a container was added to it) keeps nothing.
        """
        pods, inside = await asyncio.gather(self._api.pods(instance), self.inside())
        if not pods:
            raise UpstreamUnreachable("The cluster has no pod of it any more.", remedy=_MEND_GONE)
        facts = self.read(pods[0]["spec"], inside)
        if changes(pods[0]["spec"], self._sent):
            return structs.replace(facts, tier="none")
        return facts


MEND_REACH: Final = (
    "See that the gate reaches pods of the namespace, and that its network policy lets the gate in "
    "(deploy/kubernetes)."
)
