"""Which places an instance may connect to, and the synthetic address that stands for each name."""

from collections.abc import Iterable
from ipaddress import IPv4Address

from gatelodge.adapters.runtime.network.inside import SYNTHETIC_NETWORK
from gatelodge.core.catalog.transport import MOST_PLACES
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.source import check_place


class AllowedPlaces:
    """The list of one instance, for as long as it lives: another list is another instance."""

    def __init__(self, egress: Iterable[str]) -> None:
        """Raises Invalid for what is no place, UpstreamUnreachable for too many."""
        self._places = frozenset(check_place(each) for each in egress)
        if len(self._places) > MOST_PLACES:
            raise UpstreamUnreachable(f"More than {MOST_PLACES} places cannot be allowed.")
        first = int(IPv4Address(SYNTHETIC_NETWORK)) + 1
        hosts = sorted({host for host, _ in self._places})
        self._addresses = {host: str(IPv4Address(first + n)) for n, host in enumerate(hosts)}
        self._names = {address: host for host, address in self._addresses.items()}

    @property
    def ports(self) -> frozenset[int]:
        """The ports that anything is allowed at."""
        return frozenset(port for _, port in self._places)

    def holds(self, host: str, port: int) -> bool:
        """Say whether this may be connected to."""
        return (host, port) in self._places

    def address_of(self, name: str) -> str | None:
        """The synthetic address of a name that is allowed at any port."""
        return self._addresses.get(name)

    def name_of(self, address: str) -> str | None:
        """The name that an address was given for."""
        return self._names.get(address)
