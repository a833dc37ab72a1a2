"""Which root wraps the vault's keys: a URI of the settings says where it is."""

from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from gatelodge.adapters.keys.sealing import DiskKeyWrap
from gatelodge.adapters.keys.vault.transit import TransitRoot
from gatelodge.adapters.net.fetch import GuardedClient
from gatelodge.core.errors import Invalid, KeyMismatch, KeyUnreachable
from gatelodge.ports.vault import VaultRoot
from gatelodge.ports.world import SecretResolver

_BYTES = 32
_CLOUD = ("awskms", "gcpkms", "azurekms")
_HOW = "Use file:, file:/PATH, env:NAME or vault:https://HOST/v1/transit/keys/NAME."


class RootMeans(Struct, frozen=True, kw_only=True):
    """What roots are made with: the gate's own key, what reads references, and the way out.

    `token` is a reference to what a service of keys is shown.
    """

    kek: bytes
    secrets: SecretResolver
    client: GuardedClient
    token: str = ""


class LocalRoot:
    """A 256-bit key that this process reads: AES-256-GCM, the context as associated data.

    `read` is asked at each use, so that what is mounted later, or is gone, is found out.
    """

    def __init__(self, uri: str, read: Callable[[], bytes]) -> None:
        self._uri = uri
        self._read = read

    @property
    def uri(self) -> str:
        """What names it."""
        return self._uri

    async def wrap(self, key: bytes, context: bytes) -> str:
        """The wrapped key as hex. Raises KeyUnreachable."""
        return DiskKeyWrap(self._read()).wrap(key, context).hex()

    async def unwrap(self, wrapped: str, context: bytes) -> bytes:
        """The key. Raises KeyUnreachable, KeyMismatch."""
        try:
            sealed = bytes.fromhex(wrapped)
        except ValueError:
            raise KeyMismatch("a key of the vault is no wrapped key") from None
        return DiskKeyWrap(self._read()).unwrap(sealed, context)


def open_root(uri: str, means: RootMeans) -> VaultRoot:
    """The root behind a URI; nothing is read or asked before it is used.

    Raises Invalid for what names none, or one that this build does not have.
    """
    scheme, _, place = uri.partition(":")
    if scheme in _CLOUD:
        raise Invalid(f"keys.vault_root: {scheme}: is not available in this build", remedy=_HOW)
    if scheme == "vault":
        return TransitRoot(uri, means.client, lambda: means.secrets.resolve(means.token))
    if uri == "file:":
        return LocalRoot(uri, lambda: means.kek)
    if (scheme == "file" and Path(place).is_absolute()) or (scheme == "env" and place):
        return LocalRoot(uri, lambda: _read_root_key(uri, means.secrets))
    raise Invalid("keys.vault_root: names no root of the vault", remedy=_HOW)


def _read_root_key(uri: str, secrets: SecretResolver) -> bytes:
    try:
        key = bytes.fromhex(secrets.resolve(uri))
    except ValueError:
        # Raised outside the handler: chained to it, the decoder's error would hold the text.
        key = b""
    if len(key) != _BYTES:
        raise KeyUnreachable(
            f"the root of the vault ({uri}) is no key of 64 hexadecimal digits",
            remedy="Make one with `openssl rand -hex 32`.",
        )
    return key
