"""The way to one repository of a registry: who the gate is there, for how long, and no further.

Source: https://github.com/opencontainers/distribution-spec (pull). Everything goes the guarded way;
what opens a registry is shown to that registry, and to the token service that it names itself,
never to where a redirect leads.
"""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from gatelodge.adapters.images.registry.challenge import (
    AuthChallenge,
    read_challenge,
    token_of_answer,
    token_url,
)
from gatelodge.adapters.net.exchange import HttpReply
from gatelodge.adapters.net.fetch import GuardedClient, OutboundRequest, Take
from gatelodge.core.catalog.registries import RegistryLogin
from gatelodge.core.errors import (
    HouseError,
    Invalid,
    LimitReached,
    OutsideFailed,
    UpstreamUnreachable,
)
from gatelodge.core.http.endpoint import read_url

DOCUMENT_BYTES: Final = 4 << 20
"""Of a manifest: registries take none that is larger."""
OPENS: Final = "The operator names it in hosting.private_origins, such as https://HOST:PORT."
_DOCUMENT_SECONDS: Final = 60.0
_TOKEN_BYTES: Final = 64 * 1024
_REDIRECTS: Final = 4
_ATTEMPTS: Final = 3
_PAUSE: Final = 1.0
_PASSING: Final = frozenset((429, 500, 502, 503, 504))
"""Answers that may be another one in a moment."""
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_AGAIN: Final = (
    "See that the gate's machine reaches it, then run the command again: layers that came whole "
    "are not fetched again."
)
_LOGIN: Final = (
    "Check the name; where the registry wants a login, the operator gives one in "
    "hosting.registry_logins."
)


class RegistryWays(Struct, frozen=True, kw_only=True):
    """What the operator said of registries; `secret` reads what a login refers to."""

    client: GuardedClient
    private: frozenset[str]
    logins: Mapping[str, RegistryLogin]
    secret: Callable[[str], str]

    def origin(self, host: str) -> str:
        """Where a registry answers: without TLS only where the operator wrote it so."""
        return f"http://{host}" if f"http://{host}" in self.private else f"https://{host}"


class RegistrySession:
    """Requests to one repository; all of them end at `ends`, by the clock of the loop.

    All raise UpstreamUnreachable, Invalid when the registry refuses, KeyUnreachable (a login's
    secret), LimitReached when the time is over.
    """

    def __init__(self, ways: RegistryWays, name: str, ends: float) -> None:
        self._ways = ways
        self.host, _, self._repository = name.partition("/")
        self._origin = ways.origin(self.host)
        self._ports = frozenset((443, read_url(self._origin, private=True, opens="").port))
        self._ends = ends
        self._shown: dict[str, str] = {}

    async def begin(self) -> None:
        """Show who the gate is, where the registry wants to know it."""
        await self._sign_in("/v2/")

    async def document(self, kind: str, reference: str, accept: str, most: int) -> bytes:
        """A small document: a manifest by its tag or digest, or a blob."""
        path = f"/v2/{self._repository}/{kind}/{reference}"
        asked = OutboundRequest(
            url=self._origin + path, accept=accept, seconds=_DOCUMENT_SECONDS, max_bytes=most
        )
        return (await self._answer(path, asked, self._ways.client.fetch)).body

    async def download(
        self, digest: str, most: int, take: Take, begin_anew: Callable[[], None]
    ) -> None:
        """A blob in portions; `begin_anew` is called before the first of each attempt.

        Raises OSError too, where `take` does.
        """
        path = f"/v2/{self._repository}/blobs/{digest}"
        asked = OutboundRequest(
            url=self._origin + path, accept="*/*", seconds=self._left(), max_bytes=most
        )

        async def ask(request: OutboundRequest) -> HttpReply:
            begin_anew()
            return await self._ways.client.download(request, take)

        await self._answer(path, asked, ask)

    async def _answer(
        self,
        path: str,
        asked: OutboundRequest,
        ask: Callable[[OutboundRequest], Awaitable[HttpReply]],
    ) -> HttpReply:
        """The good answer; asked for a few times, and once more when a token is over."""
        failures, renewed = 0, False
        while True:
            try:
                reply = await ask(self._guarded(asked, redirects=_REDIRECTS, headers=self._shown))
            except OutsideFailed as fault:
                failures += 1
                if fault.final or failures == _ATTEMPTS:
                    raise self._unreachable(fault) from None
            else:
                if reply.status == 200:
                    return reply
                if reply.status == 401 and not renewed:
                    renewed = True
                    await self._sign_in(path)
                    continue
                failures += 1
                if reply.status not in _PASSING or failures == _ATTEMPTS:
                    raise self._refusal(reply.status)
            await asyncio.sleep(min(_PAUSE * failures, self._left()))

    async def _sign_in(self, path: str) -> None:
        """Learn from a refusal what the registry wants to be shown, and have that ready."""
        login = self._ways.logins.get(self.host)
        if login is not None and not login.user:
            self._shown = {"Authorization": f"Bearer {await self._secret(login)}"}
            return
        # No redirect is followed: whoever it leads to shall not say where a login is shown.
        asked = OutboundRequest(
            url=self._origin + path, seconds=_DOCUMENT_SECONDS, max_bytes=DOCUMENT_BYTES
        )
        try:
            reply = await self._ways.client.fetch(self._guarded(asked))
        except OutsideFailed as fault:
            raise self._unreachable(fault) from None
        challenge = read_challenge(reply.fields.get(b"www-authenticate", b""))
        if reply.status != 401:
            return
        basic = {} if login is None else {"Authorization": await self._basic(login)}
        if challenge.scheme == "bearer":
            token = await self._token(challenge, basic)
            self._shown = {"Authorization": f"Bearer {token}"}
        elif challenge.scheme == "basic":
            self._shown = basic

    async def _token(self, challenge: AuthChallenge, shown: Mapping[str, str]) -> str:
        asked = OutboundRequest(
            url=token_url(challenge, self._repository),
            seconds=_DOCUMENT_SECONDS,
            max_bytes=_TOKEN_BYTES,
        )
        try:
            reply = await self._ways.client.fetch(self._guarded(asked, headers=shown))
        except OutsideFailed as fault:
            raise self._unreachable(fault, "the token service of ") from None
        if reply.status != 200:
            raise self._refusal(reply.status)
        return token_of_answer(reply.body)

    async def _basic(self, login: RegistryLogin) -> str:
        shown = f"{login.user}:{await self._secret(login)}".encode()
        return f"Basic {b64encode(shown).decode('ascii')}"

    async def _secret(self, login: RegistryLogin) -> str:
        return await asyncio.to_thread(self._ways.secret, login.secret)

    def _guarded(
        self, asked: OutboundRequest, *, redirects: int = 0, headers: Mapping[str, str] = _NONE
    ) -> OutboundRequest:
        """The request as it may go out now."""
        return replace(
            asked,
            seconds=min(asked.seconds, self._left()),
            headers=headers,
            ports=self._ports,
            private_origins=self._ways.private,
            opens=OPENS,
            redirects=redirects,
        )

    def _left(self) -> float:
        left = self._ends - asyncio.get_running_loop().time()
        if left <= 0:
            raise LimitReached(
                f"{self.host} took longer to give the image than one may.",
                remedy="Run it again, which goes on with what came whole, or raise "
                "hosting.build_seconds.",
            )
        return left

    def _unreachable(self, fault: OutsideFailed, what: str = "") -> UpstreamUnreachable:
        own = fault.remedy != OutsideFailed.default_remedy
        return UpstreamUnreachable(
            f"The image could not be fetched from {what}{self.host}: {fault.detail}",
            remedy=fault.remedy if own else _AGAIN,
        )

    def _refusal(self, status: int) -> HouseError:
        if status in (401, 403, 404):
            known = "does not show" if status == 404 else "refuses to show"
            return Invalid(f"{self.host} {known} this image (HTTP {status})", remedy=_LOGIN)
        return UpstreamUnreachable(f"{self.host} answered with HTTP {status}.", remedy=_AGAIN)
