"""Which era an upstream speaks, judged from its answers to `server/discover` and `initialize`.

Recognised modern answers make it modern; anything else a server answered makes it legacy; silence
on HTTP is an outage and never a judgement (2026-07-28 basic/versioning, transports).
"""

from typing import Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct

from gatelodge.core.jsontext.jsonrpc import parse_fault
from gatelodge.core.jsontext.shape import read_as
from gatelodge.core.protocol.capabilities import LONGEST
from gatelodge.core.protocol.envelope import members_of
from gatelodge.core.protocol.upstream import UpstreamMessage
from gatelodge.core.protocol.version import (
    LEGACY_UPSTREAM,
    MODERN,
    MODERN_ERRORS,
    UNSUPPORTED_VERSION,
    Era,
)

Offer = Literal["tools", "prompts", "resources"]
OFFERS: Final[tuple[Offer, ...]] = ("tools", "prompts", "resources")


class ServerHello(Struct, frozen=True, kw_only=True):
    """What a server said of itself when it was met; `capabilities` is the raw object.

    `pushes` is false for a legacy server that keeps no session: it cannot hear an answer.
    """

    era: Era
    version: str
    instructions: str = ""
    capabilities: Raw = Raw(b"{}")
    pushes: bool = True


class ServerFeatures(Struct, frozen=True, kw_only=True):
    """What capabilities mean: the lists that a server has, those whose changes it announces.

    `subscribes` = its resources can be watched one by one; `logs` = it takes a level.
    """

    lists: frozenset[Offer] = frozenset()
    tells: frozenset[Offer] = frozenset()
    subscribes: bool = False
    logs: bool = False


def capable(capabilities: Raw) -> ServerFeatures:
    """Read a server's capabilities; what cannot be read is not there.

    A server that declares none of the three lists may have tools all the same: early ones did not
    say, and a server that was met by a modern error could not.
    """
    said = members_of(capabilities) or {}
    lists = {offer: members_of(said[offer]) or {} for offer in OFFERS if offer in said}
    resources = lists.get("resources", {})
    return ServerFeatures(
        lists=frozenset(lists) or frozenset({"tools"}),
        tells=frozenset(
            offer for offer, has in lists.items() if _is_true_member(has, "listChanged")
        ),
        subscribes=_is_true_member(resources, "subscribe"),
        logs="logging" in said,
    )


def listening(can: ServerFeatures, uris: frozenset[str]) -> dict[str, Raw] | None:
    """The params of the modern `subscriptions/listen`; None when there is nothing to hear of."""
    wanted: dict[str, object] = {f"{o}ListChanged": True for o in OFFERS if o in can.tells}
    if uris:
        wanted["resourceSubscriptions"] = sorted(uris)
    return {"notifications": Raw(msgspec.json.encode(wanted))} if wanted else None


def _is_true_member(members: dict[str, Raw], name: str) -> bool:
    return bytes(members.get(name, b"")) == b"true"


class _Discovered(Struct):
    supportedVersions: list[str]  # noqa: N815 - the wire's spelling
    capabilities: Raw = Raw(b"{}")
    instructions: str | None = None


class _Initialized(Struct):
    protocolVersion: str  # noqa: N815 - the wire's spelling
    capabilities: Raw = Raw(b"{}")
    instructions: str | None = None


class _Versions(Struct):
    supported: list[str]


Meeting = ServerHello | Literal["legacy", "strange"]
"""A modern server's hello; a legacy server; a modern one that shares no revision with us."""


def discovered(message: UpstreamMessage | None) -> Meeting:
    """Judge the answer to `server/discover`; None stands for an answer that is not JSON-RPC."""
    if message is None:
        # Servers from before the modern era answer an unknown path or method in any way they like.
        return "legacy"
    if message.error is not UNSET:
        return _judge_discover_error(message.error)
    if message.result is UNSET:
        return "legacy"
    said = read_as(message.result, _Discovered)
    if said is None:
        return "legacy"
    # It said that it is modern: a legacy handshake is for servers that know no other.
    if MODERN not in said.supportedVersions:
        return "strange"
    return _build_hello("modern", MODERN, said.capabilities, said.instructions)


def _judge_discover_error(error: Raw) -> Meeting:
    fault = parse_fault(error)
    # A legacy server does not know the method, and says so under any code of its era.
    if fault.code not in MODERN_ERRORS:
        return "legacy"
    if fault.code == UNSUPPORTED_VERSION:
        known = read_as(fault.data, _Versions)
        if known is None or MODERN not in known.supported:
            return "strange"
    # The error told nothing of what it can: `capable` takes it to have tools.
    return ServerHello(era="modern", version=MODERN)


def initialized(result: Raw) -> ServerHello | None:
    """The hello of a legacy server; None when it chose a revision that we do not speak."""
    said = read_as(result, _Initialized)
    if said is None or said.protocolVersion not in LEGACY_UPSTREAM:
        return None
    return _build_hello("legacy", said.protocolVersion, said.capabilities, said.instructions)


def _build_hello(
    era: Era, version: str, capabilities: Raw, instructions: str | None
) -> ServerHello:
    said = bytes(capabilities)
    # What cannot be read costs a server its lists but tools, and not its connection.
    whole = Raw(said if len(said) <= LONGEST and members_of(capabilities) else b"{}")
    return ServerHello(
        era=era, version=version, instructions=instructions or "", capabilities=whole
    )
