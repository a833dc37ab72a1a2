"""What a server offers besides tools: prompts, resources, templates, and what it can do.

Every item keeps the server's own bytes. What has no usable name, or one that another item had
before it, or what clients would refuse together with the whole list, is left out and told.
"""

from collections.abc import Callable, Iterable
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from gatelodge.core.catalog.server import Server
from gatelodge.core.ids import ServerId
from gatelodge.core.protocol.capabilities import TASKS
from gatelodge.core.protocol.shown.conform import nonconformities
from gatelodge.core.protocol.shown.names import LONGEST, shown_name

LONGEST_NAME: Final = 128
"""Characters in a prompt's name, as in a tool's: it is recorded with each use."""
OfferKind = Literal["prompts", "resources", "templates"]


class OfferedItem(Struct, frozen=True, kw_only=True, gc=False):
    """One prompt, resource or template.

    `name` is what it is used by: a prompt's name, a URI, a URI template. `raw` is the object as
    the server sent it; `listed` is the same under its shown name (prompts; else `raw` itself).
    """

    alias: str
    position: int
    name: str
    raw: Raw
    listed: Raw


class OfferAbilities(Struct, frozen=True, kw_only=True, gc=False):
    """Which capabilities that concern us a server declared, each as an object.

    `tasks` is the extension of that name.
    """

    prompts: bool = False
    resources: bool = False
    subscribe: bool = False
    completions: bool = False
    logging: bool = False
    tasks: bool = False


class ServerOffer(Struct, frozen=True, kw_only=True):
    """What a server offers besides tools, in its order. `left_out` says what is not, and why.

    `capabilities` is the object that it declared, raw.

    `added` are the names of the tools that it offers only to clients which declare something.

    `named` and `shown` find a prompt: by its own name, and by the one under which it is shown
    beside those of other servers. `web` are the resources and templates that a client could fetch
    from the web by itself. `capabilities` is the object that `abilities` was read from.
    """

    server: ServerId
    alias: str
    prompts: tuple[OfferedItem, ...] = ()
    resources: tuple[OfferedItem, ...] = ()
    templates: tuple[OfferedItem, ...] = ()
    named: dict[str, OfferedItem] = {}
    shown: dict[str, OfferedItem] = {}
    web: frozenset[str] = frozenset()
    capabilities: Raw = Raw(b"{}")
    abilities: OfferAbilities = OfferAbilities()
    added: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()

    def items(self, kind: OfferKind) -> tuple[OfferedItem, ...]:
        """The items of that kind."""
        match kind:
            case "prompts":
                return self.prompts
            case "resources":
                return self.resources
            case "templates":
                return self.templates


def read_offer(
    server: Server,
    *,
    prompts: Iterable[Raw] = (),
    resources: Iterable[Raw] = (),
    templates: Iterable[Raw] = (),
    capabilities: Raw = Raw(b"{}"),  # noqa: B008 - immutable
    longest: int = LONGEST,
) -> ServerOffer:
    """The offer in what a server said of itself.

    `longest` is how many characters a shown name may have. Never raises: what cannot be read, and
    what clients would refuse, is left out.
    """
    shown: dict[str, OfferedItem] = {}
    left_out = _collect_usable_items("prompts", shown, (server.alias, longest), prompts)
    documents: dict[str, OfferedItem] = {}
    left_out += _collect_usable_items("resources", documents, (server.alias, longest), resources)
    patterns: dict[str, OfferedItem] = {}
    left_out += _collect_usable_items("templates", patterns, (server.alias, longest), templates)
    return ServerOffer(
        server=server.id,
        alias=server.alias,
        prompts=tuple(shown.values()),
        resources=tuple(documents.values()),
        templates=tuple(patterns.values()),
        named={item.name: item for item in shown.values()},
        shown=shown,
        web=frozenset(each for each in (*documents, *patterns) if _on_the_web(each)),
        capabilities=capabilities,
        abilities=read_abilities(capabilities),
        left_out=tuple(left_out),
    )


def read_abilities(capabilities: Raw) -> OfferAbilities:
    """What the server's capabilities object declares; nothing where it cannot be read."""
    said = _members_of_object(capabilities) or {}
    resources = _members_of_object(said.get("resources"))
    extensions = _members_of_object(said.get("extensions")) or {}
    return OfferAbilities(
        prompts=_members_of_object(said.get("prompts")) is not None,
        resources=resources is not None,
        # MCP has a boolean here: any other value declares nothing.
        subscribe=resources is not None and bytes(resources.get("subscribe", b"")) == b"true",
        completions=_members_of_object(said.get("completions")) is not None,
        logging=_members_of_object(said.get("logging")) is not None,
        tasks=_members_of_object(extensions.get(TASKS)) is not None,
    )


class _Prompt(Struct):
    name: str


class _Resource(Struct):
    uri: str


class _Template(Struct):
    uriTemplate: str  # noqa: N815 - the wire's spelling


_prompts = msgspec.json.Decoder(_Prompt).decode
_resources = msgspec.json.Decoder(_Resource).decode
_templates = msgspec.json.Decoder(_Template).decode
_members = msgspec.json.Decoder(dict[str, Raw]).decode
_encode = msgspec.json.Encoder().encode

_UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
_Naming = tuple[str, int]
"""The alias of a server, and how many characters a shown name may have."""
_Read = Callable[[_Naming, Raw], tuple[str, str, Raw]]
"""What an item is found by, its own name, and its object as it is listed. Raises ValueError."""


def _collect_usable_items(
    kind: OfferKind, found: dict[str, OfferedItem], shown: _Naming, raws: Iterable[Raw]
) -> list[str]:
    """Put the usable items into `found`, in order, the first of each name; say what is left out."""
    left_out = []
    for position, raw in enumerate(raws):
        try:
            key, name, listed = _READ[kind](shown, raw)
        except _UNREADABLE:
            left_out.append(f"{kind[:-1]} {position + 1}: it has no usable name")
            continue
        wrong = nonconformities(kind, raw)
        if wrong:
            # Cut and in ASCII: the server chose this name, and an admin's terminal shows it.
            left_out.append(f"{kind[:-1]} {name[:80]!a}: {wrong[0]}")
        # The later one could else take over the name under which clients know the first.
        elif key in found:
            left_out.append(f"{kind[:-1]} {name[:80]!a}: one before it has that name")
        else:
            found[key] = OfferedItem(
                alias=shown[0], position=position, name=name, raw=raw, listed=listed
            )
    return left_out


def _read_prompt(naming: _Naming, raw: Raw) -> tuple[str, str, Raw]:
    """Two names that are shown alike count as one: nobody could tell them apart in a list."""
    name = _prompts(raw).name
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise ValueError(name)
    shown = shown_name(naming[0], name, naming[1])
    return shown, name, Raw(_encode({**_members(raw), "name": shown}))


def _read_resource(_: _Naming, raw: Raw) -> tuple[str, str, Raw]:
    uri = _resources(raw).uri
    if not uri:
        raise ValueError(uri)
    return uri, uri, raw


def _read_template(_: _Naming, raw: Raw) -> tuple[str, str, Raw]:
    pattern = _templates(raw).uriTemplate
    if not pattern:
        raise ValueError(pattern)
    return pattern, pattern, raw


_READ: Final[dict[OfferKind, _Read]] = {
    "prompts": _read_prompt,
    "resources": _read_resource,
    "templates": _read_template,
}


def _on_the_web(uri: str) -> bool:
    # A scheme has no case (RFC 3986 section 3.1); cut first, since a URI can be very long.
    return uri[:8].lower() == "https://"


def _members_of_object(raw: Raw | None) -> dict[str, Raw] | None:
    try:
        return None if raw is None else _members(raw)
    except _UNREADABLE:
        return None
