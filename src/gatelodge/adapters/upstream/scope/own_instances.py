"""A hosted server of which everybody has an instance of their own, and nobody another's.

The main link is the gate's own look at the server: it is started without anybody's secrets, tells
what there is to offer, carries no request of a principal, and is idle in between. So listing starts
nobody's instance. A principal's instance begins with the first request and ends when it was idle
for long, or with the principal's access.
"""

from msgspec import structs

from gatelodge.adapters.upstream.connection import ServerConnection
from gatelodge.adapters.upstream.server_connections import ServerConnections
from gatelodge.config.schema import LimitSettings
from gatelodge.core.catalog.server import ArtifactTransport, EraWish, Server
from gatelodge.core.errors import HouseError, UpstreamError
from gatelodge.core.protocol.capabilities import for_legacy
from gatelodge.ports.upstream import ObservedOffer, OnBehalfOf, UpstreamRequest


class OwnInstances(ServerConnections):
    """Keeps the links of such a server."""

    scoped = True

    @property
    def era(self) -> EraWish:
        """That of the main link: nothing has to be found out once more."""
        return "modern" if self.main.modern else "legacy"

    @property
    def dual(self) -> bool:
        """Never: an instance speaks the era in which the server was met."""
        return False

    def elsewhere(
        self, link: ServerConnection, request: UpstreamRequest
    ) -> ServerConnection | HouseError | None:
        """Where what the main link held belongs; what a principal's own held stays there."""
        return super().elsewhere(link, request) if link is self.main else None

    async def observe(self, limits: LimitSettings) -> ObservedOffer:
        """What the server offers; a fault of a look without a secret tells how to give it one."""
        try:
            return await super().observe(limits)
        except UpstreamError as fault:
            lacking = self.main.session.transport.told().lacking
            if lacking:
                # It may be cured by either, and only the server's words tell by which.
                fault.remedy = " ".join(
                    part for part in (_for_looks(lacking), fault.remedy) if part
                )
            raise

    def unmet(self, link: ServerConnection, fault: HouseError) -> None:
        """An instance could not be begun; nothing of it goes over anybody else's."""
        if link is self.main:
            super().unmet(link, fault)

    def leave(self, principal: str) -> None:
        """End every instance of this principal, and of the agents that act for it."""
        for asker, link in list(self._sessions.items()):
            if principal in (asker.principal, asker.person):
                self._end_session(link)

    def _session_asker_of_request(self, request: UpstreamRequest) -> OnBehalfOf | None:
        asker = request.asker
        if not asker.principal:
            return None  # the gate itself
        transport = self.server.transport
        each = isinstance(transport, ArtifactTransport) and transport.scope == "per_session"
        session = asker.session if each else ""
        if self.main.modern:
            return OnBehalfOf(asker.principal, person=asker.person, session=session)
        # A legacy server is told what a client can do when a session begins: over one pair of
        # pipes there is one session.
        said = bytes(for_legacy(asker.capabilities))
        level = asker.level if self.main.logs else ""
        return structs.replace(asker, capabilities=said, level=level, session=session)


def _for_looks(lacking: tuple[str, ...]) -> str:
    names = ", ".join(f"vault:{name}" for name in lacking)
    ways = ", ".join(f"gatelodge secret set {name} --for-looks" for name in lacking)
    return (
        f"The gate looks at it without {names}, of which each has their own value. If it does not "
        f"start so, set one for looks: {ways}."
    )


def has_own_instances(server: Server) -> bool:
    """Say whether everybody, or every session, has an instance of this server."""
    transport = server.transport
    return isinstance(transport, ArtifactTransport) and transport.scope != "shared"
