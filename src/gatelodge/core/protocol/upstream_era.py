"""Which era an upstream speaks, judged from its answers to `server/discover` and `initialize`.

Recognised modern answers make it modern; anything else a server answered makes it legacy; silence
on HTTP is an outage and never a judgement (2026-07-28 basic/versioning, transports).
"""

from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct

from gatelodge.core.protocol.upstream import Message, parse_fault
from gatelodge.core.protocol.version import (
    LEGACY_UPSTREAM,
    MODERN,
    MODERN_ERRORS,
    UNSUPPORTED_VERSION,
    Era,
)


class Hello(Struct, frozen=True, kw_only=True):
    """What a server said of itself when it was met. `tells` = it announces changes of its tools."""

    era: Era
    version: str
    instructions: str = ""
    tells: bool = False


class _Tools(Struct):
    listChanged: bool = False  # noqa: N815 - the wire's spelling


class _Capabilities(Struct):
    tools: _Tools | None = None


class _Discovered(Struct):
    supportedVersions: list[str]  # noqa: N815 - the wire's spelling
    capabilities: _Capabilities = msgspec.field(default_factory=_Capabilities)
    instructions: str | None = None


class _Initialized(Struct):
    protocolVersion: str  # noqa: N815 - the wire's spelling
    capabilities: _Capabilities = msgspec.field(default_factory=_Capabilities)
    instructions: str | None = None


class _Versions(Struct):
    supported: list[str]


Meeting = Hello | Literal["legacy", "strange"]
"""A modern server's hello; a legacy server; a modern one that shares no revision with us."""


def discovered(message: Message | None) -> Meeting:
    """Judge the answer to `server/discover`; None stands for an answer that is not JSON-RPC."""
    if message is None:
        return "legacy"
    if message.error is not UNSET:
        return _refused(message.error)
    if message.result is UNSET:
        return "legacy"
    try:
        said = msgspec.json.decode(message.result, type=_Discovered)
    except (msgspec.MsgspecError, RecursionError):
        return "legacy"
    if MODERN not in said.supportedVersions:
        return "strange"
    return _hello("modern", MODERN, said.capabilities, said.instructions)


def _refused(error: Raw) -> Meeting:
    fault = parse_fault(error)
    if fault.code not in MODERN_ERRORS:
        return "legacy"
    if fault.code == UNSUPPORTED_VERSION:
        try:
            supported = msgspec.json.decode(fault.data, type=_Versions).supported
        except (msgspec.MsgspecError, RecursionError):
            return "strange"
        if MODERN not in supported:
            return "strange"
    return Hello(era="modern", version=MODERN)


def initialized(result: Raw) -> Hello | None:
    """The hello of a legacy server; None when it chose a revision that we do not speak."""
    try:
        said = msgspec.json.decode(result, type=_Initialized)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if said.protocolVersion not in LEGACY_UPSTREAM:
        return None
    return _hello("legacy", said.protocolVersion, said.capabilities, said.instructions)


def _hello(era: Era, version: str, can: _Capabilities, instructions: str | None) -> Hello:
    tells = can.tools is not None and can.tools.listChanged
    return Hello(era=era, version=version, instructions=instructions or "", tells=tells)
