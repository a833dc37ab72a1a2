"""Where a container engine listens, as the operator writes it."""

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from gatelodge.core.errors import UpstreamUnreachable

_HOW = "Set it to unix:///PATH, or tcp://127.0.0.1:PORT; one elsewhere is led here by ssh -L."


class EnginePlace(Struct, frozen=True):
    """A socket of this machine (`path`), or a port on its loopback interface."""

    path: str = ""
    host: str = ""
    port: int = 0

    @property
    def words(self) -> str:
        """As an operator reads it."""
        return self.path or f"{self.host}:{self.port}"


def read_place(url: str) -> EnginePlace:
    """The place of `hosting.docker_url`. Raises UpstreamUnreachable.

    An engine's port without TLS is root for whoever reaches it, and secrets go through it in clear:
    so nothing but the loopback interface is taken.
    """
    if url.startswith("/"):
        url = f"unix://{url}"
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path and not parts.netloc:
        return EnginePlace(path=str(Path(parts.path)))
    try:
        host, port = parts.hostname or "", parts.port or 0
        if parts.scheme == "tcp" and port and ipaddress.ip_address(host).is_loopback:
            return EnginePlace(host=host, port=port)
    except ValueError:
        pass
    text = f"hosting.docker_url: {url[:80]!r} is no place of a container engine."
    raise UpstreamUnreachable(text, remedy=_HOW)
