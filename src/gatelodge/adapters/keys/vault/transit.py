"""A root that never leaves its service: the transit engine of HashiCorp Vault and OpenBao.

Source: https://developer.hashicorp.com/vault/api-docs/secret/transit (encrypt and decrypt data).
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Callable

import msgspec
from msgspec import Struct

from gatelodge.adapters.net.exchange import HttpReply
from gatelodge.adapters.net.fetch import GuardedClient, OutboundRequest
from gatelodge.core.errors import HouseError, Invalid, KeyMismatch, KeyUnreachable
from gatelodge.core.http.endpoint import read_url

_PLACE = re.compile(r"(.*/v1/[A-Za-z0-9_/-]+)/keys/([A-Za-z0-9_-]{1,100})")
_SECONDS = 5.0
_MOST = 64 * 1024
_REMEDY = (
    "See that the service is up and unsealed, and that keys.vault_token may encrypt and decrypt "
    "with this key."
)


class _TransitData(Struct):
    ciphertext: str = ""
    plaintext: str = ""


class _TransitAnswer(Struct):
    data: _TransitData


class TransitRoot:
    """A key of a transit engine: `vault:https://HOST/v1/MOUNT/keys/NAME`.

    `token` reads what the service is shown, at each request. Raises Invalid for another form.
    """

    def __init__(self, uri: str, client: GuardedClient, token: Callable[[], str]) -> None:
        found = _PLACE.fullmatch(uri.removeprefix("vault:"))
        if found is None:
            raise Invalid(
                "keys.vault_root: names no key of a transit engine",
                remedy="Write vault:https://HOST/v1/transit/keys/NAME.",
            )
        self._uri = uri
        self._base, self._name = found[1], found[2]
        # The operator names the service in the settings, as they do the database.
        self._port = read_url(self._base, private=True, opens="").port
        self._client = client
        self._token = token

    @property
    def uri(self) -> str:
        """What names it."""
        return self._uri

    async def wrap(self, key: bytes, context: bytes) -> str:
        """The wrapped key, as the service words it. Raises KeyUnreachable."""
        answer = await self._ask("encrypt", {"plaintext": _text(key), **_bound_to(context)})
        if not answer.ciphertext:
            raise KeyUnreachable("the root of the vault answered without a key", remedy=_REMEDY)
        return answer.ciphertext

    async def unwrap(self, wrapped: str, context: bytes) -> bytes:
        """The key. Raises KeyUnreachable, KeyMismatch."""
        answer = await self._ask("decrypt", {"ciphertext": wrapped, **_bound_to(context)})
        try:
            return b64decode(answer.plaintext, validate=True)
        except ValueError:
            raise KeyMismatch("the root of the vault gave no key back") from None

    async def _ask(self, what: str, given: dict[str, str]) -> _TransitData:
        asked = OutboundRequest(
            url=f"{self._base}/{what}/{self._name}",
            method="POST",
            headers={"X-Vault-Token": self._token(), "X-Vault-Request": "true"},
            content_type="application/json",
            body=msgspec.json.encode(given),
            seconds=_SECONDS,
            max_bytes=_MOST,
            ports=frozenset((self._port,)),
            private=True,
        )
        try:
            reply = await self._client.fetch(asked)
        except HouseError as fault:
            text = f"the root of the vault was not reached: {fault.detail}"
            raise KeyUnreachable(text, remedy=_REMEDY) from None
        return _data_of_reply(reply, what)


def _data_of_reply(reply: HttpReply, what: str) -> _TransitData:
    # What it says of a refusal may repeat what it was sent, so only the status is told.
    if what == "decrypt" and reply.status == 400:
        raise KeyMismatch("a key of the vault was not wrapped by this root")
    if reply.status != 200:
        text = f"the root of the vault refused to {what} (HTTP {reply.status})"
        raise KeyUnreachable(text, remedy=_REMEDY)
    try:
        return msgspec.json.decode(reply.body, type=_TransitAnswer).data
    except msgspec.MsgspecError:
        raise KeyUnreachable(
            "the root of the vault answered what is no answer of a transit engine", remedy=_REMEDY
        ) from None


def _bound_to(context: bytes) -> dict[str, str]:
    return {"associated_data": _text(context)}


def _text(octets: bytes) -> str:
    return b64encode(octets).decode("ascii")
