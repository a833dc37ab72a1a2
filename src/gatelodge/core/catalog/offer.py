"""What a server offers besides tools: prompts, resources, templates, and what it can do.

Every item keeps the server's own bytes. What has no usable name, or one that another item had
before it, or what clients would refuse together with the whole list, is left out and told.
"""

from collections.abc import Iterable
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from gatelodge.core.catalog.server import Server
from gatelodge.core.ids import ServerId
from gatelodge.core.protocol.capabilities import TASKS
from gatelodge.core.protocol.envelope import Era, members_of, read_text
from gatelodge.core.protocol.shown.conform import nonconformities
from gatelodge.core.protocol.shown.names import LONGEST, shown_name

LONGEST_NAME: Final = 128
"""Characters in a prompt's name, as in a tool's: it is recorded with each use."""
OfferKind = Literal["prompts", "resources", "templates"]
_NAMED_BY: Final[dict[OfferKind, str]] = {
    "prompts": "name",
    "resources": "uri",
    "templates": "uriTemplate",
}
_encode = msgspec.json.Encoder().encode


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

    `added` are the names of the tools that it offers only to clients which declare something to it
    in the era `added_in`.
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
    added_in: Era = "modern"
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
    shown, odd_prompts = _usable_items("prompts", prompts, server.alias, longest)
    documents, odd_resources = _usable_items("resources", resources, server.alias, longest)
    patterns, odd_templates = _usable_items("templates", templates, server.alias, longest)
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
        left_out=(*odd_prompts, *odd_resources, *odd_templates),
    )


def read_abilities(capabilities: Raw) -> OfferAbilities:
    """What the server's capabilities object declares; nothing where it cannot be read."""
    said = members_of(capabilities) or {}
    resources = members_of(said.get("resources"))
    extensions = members_of(said.get("extensions")) or {}
    return OfferAbilities(
        prompts=members_of(said.get("prompts")) is not None,
        resources=resources is not None,
        # MCP has a boolean here: any other value declares nothing.
        subscribe=resources is not None and bytes(resources.get("subscribe", b"")) == b"true",
        completions=members_of(said.get("completions")) is not None,
        logging=members_of(said.get("logging")) is not None,
        tasks=members_of(extensions.get(TASKS)) is not None,
    )


def _usable_items(
    kind: OfferKind, raws: Iterable[Raw], alias: str, longest: int
) -> tuple[dict[str, OfferedItem], list[str]]:
    """The usable items by what they are found by, in order, the first of each; what is left out."""
    found: dict[str, OfferedItem] = {}
    left_out: list[str] = []
    for position, raw in enumerate(raws):
        members = members_of(raw) or {}
        name = read_text(members.get(_NAMED_BY[kind])) or ""
        prompt = kind == "prompts"
        if not name or (prompt and (len(name) > LONGEST_NAME or not name.isprintable())):
            left_out.append(f"{kind[:-1]} {position + 1}: it has no usable name")
            continue
        key, listed = name, raw
        if prompt:
            # Two names that are shown alike count as one: nobody could tell them apart in a list.
            key = shown_name(alias, name, longest)
            listed = Raw(_encode({**members, "name": key}))
        wrong = nonconformities(kind, raw)
        if wrong:
            # Cut and in ASCII: the server chose this name, and an admin's terminal shows it.
            left_out.append(f"{kind[:-1]} {name[:80]!a}: {wrong[0]}")
        # The later one could else take over the name under which clients know the first.
        elif key in found:
            left_out.append(f"{kind[:-1]} {name[:80]!a}: one before it has that name")
        else:
            found[key] = OfferedItem(
                alias=alias, position=position, name=name, raw=raw, listed=listed
            )
    return found, left_out


def _on_the_web(uri: str) -> bool:
    # A scheme has no case (RFC 3986 section 3.1); cut first, since a URI can be very long.
    return uri[:8].lower() == "https://"
