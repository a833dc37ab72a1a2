"""Names in guardrails: people write what they call things, Cedar is given ids.

A guardrail is kept in two forms. `written` is the text with names (an alias, an e-mail address, a
group), `text` the same text with the ids that those names stand for now; only the latter is
evaluated and stands in the log. A name that stands for nothing is found here, so that a rule that
can match nothing is refused when it is published and told of afterwards.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from urllib.parse import unquote

from msgspec import Struct

from gatelodge.core.people import folded
from gatelodge.core.policy.schema import NAMED_KINDS, Kind, plain

NAMESPACE = "Gatelodge"

MOST_NEAR = 5
"""Of so many names that stand for nothing it is looked up what comes near: each look is long."""

_TOKEN = re.compile(
    r'(?P<skip>\s+|//[^\n]*)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<word>[A-Za-z_]\w*)|(?P<sep>::)|.',
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_SIMPLE = {"n": "\n", "r": "\r", "t": "\t", "0": "\0"}


class EntityMention(Struct, frozen=True):
    """An entity that a text names: its kind, its id or name, and where the quoted part stands."""

    kind: Kind
    name: str
    start: int
    end: int

    def __str__(self) -> str:
        return f'{self.kind}::"{self.name}"'


class NamedEntities(Struct, frozen=True, kw_only=True):
    """What each name stands for.

    `ids` and `names` map (kind, name) to an id and back; a name begins with `SLUG/` where the rule
    holds for every workspace. `tools` are pairs of a server's id and a tool's own name; `observed`
    are the servers whose tools are known.
    """

    ids: dict[tuple[str, str], str]
    names: dict[tuple[str, str], str]
    tools: frozenset[tuple[str, str]]
    observed: frozenset[str]
    tags: frozenset[str]
    everywhere: bool = False


class UnmatchedMention(Struct, frozen=True):
    """A mention that stands for nothing, and names of its kind that come near it.

    `unseen` is a tool of a server whose tools nobody has read yet.
    """

    mention: EntityMention
    near: tuple[str, ...] = ()
    unseen: bool = False

    def __str__(self) -> str:
        return str(self.mention)


class BoundGuardrail(Struct, frozen=True):
    """A guardrail's text in both forms, and what in it stands for nothing."""

    written: str
    text: str
    unmatched: tuple[UnmatchedMention, ...]


def mentions(text: str) -> Iterator[EntityMention]:
    """Each entity of the house that a Cedar text names, in its order; actions are left out."""
    path: list[str] = []
    joined = False
    for token in _TOKEN.finditer(text):
        # Cedar allows blanks and comments between the parts of a path, so they do not end it.
        if token["skip"] is not None:
            continue
        if token["word"] is not None:
            # Of a longer path it is enough to know that it is longer: anybody writes endless ones.
            path = [*path[:2], token["word"]] if joined else [token["word"]]
            joined = False
        elif token["sep"] is not None:
            joined = bool(path)
        elif token["text"] is not None and joined:
            kind = next((kind for kind in NAMED_KINDS if path == [NAMESPACE, kind]), None)
            if kind is not None:
                yield EntityMention(
                    kind, _unquoted_cedar_string(token["text"]), token.start(), token.end()
                )
            path, joined = [], False
        else:
            path, joined = [], False


def bind(text: str, bearers: NamedEntities, before: str = "") -> BoundGuardrail:
    """The text in both forms as names stand now.

    What stands for nothing stays as it is, or as it was `before`: in the text with ids that was
    made of the same words earlier.
    """
    earlier = [each.name for each in mentions(before)]
    written, bound, last = [], [], 0
    unmatched: dict[str, UnmatchedMention] = {}
    for place, mention in enumerate(mentions(text)):
        between = text[last : mention.start]
        found = _resolve_mention(mention, bearers)
        ident, name = (mention.name, mention.name) if found is None else found
        if found is None and earlier:
            # Both texts were made of the same words, so their mentions stand in the same order.
            ident = earlier[place]
        written += [between, _quoted_cedar_string(name)]
        bound += [between, _quoted_cedar_string(ident)]
        last = mention.end
        missing = _unmatched_mention(mention, found, bearers, near=len(unmatched) < MOST_NEAR)
        if missing is not None:
            unmatched.setdefault(str(mention), missing)
    return BoundGuardrail(
        "".join([*written, text[last:]]),
        "".join([*bound, text[last:]]),
        tuple(unmatched.values()),
    )


def _resolve_mention(mention: EntityMention, bearers: NamedEntities) -> tuple[str, str] | None:
    """The id that Cedar is given, and the name that people read; None when nothing is meant."""
    kind, name = mention.kind, mention.name
    if kind == "Tag":
        return (name, name) if name in bearers.tags else None
    if kind == "Tool":
        return _resolve_tool(name, bearers)
    kind = "Server" if kind in {"Prompt", "Resource"} else kind
    ident = _id_of(kind, name, bearers)
    return None if ident is None else (plain(ident), bearers.names[kind, ident])


def _id_of(kind: str, name: str, bearers: NamedEntities) -> str | None:
    """The id of who bears the name now; an id means whoever bears the name of its row."""
    # Whoever left and came back has another id, and the rule goes on holding for them.
    name = bearers.names.get((kind, name), name)
    return bearers.ids.get((kind, folded(name)))


def _resolve_tool(name: str, bearers: NamedEntities) -> tuple[str, str] | None:
    """The id and the name of SERVER/TOOL, the server by id or name."""
    head, slash, own = name.partition("/")
    server = _id_of("Server", head, bearers)
    # A rule for every workspace names a tool as SLUG/ALIAS/TOOL.
    if server is None and bearers.everywhere:
        alias, slash, own = own.partition("/")
        server = _id_of("Server", f"{head}/{alias}", bearers)
    if server is None or not slash or not own:
        return None
    # Ids are percent-encoded (`plain`): whoever copies one from a rule means the same tool.
    if (server, own) not in bearers.tools and (server, unquote(own)) in bearers.tools:
        own = unquote(own)
    return plain(f"{server}/{own}"), f"{bearers.names['Server', server]}/{own}"


def _unmatched_mention(
    mention: EntityMention, found: tuple[str, str] | None, bearers: NamedEntities, *, near: bool
) -> UnmatchedMention | None:
    unseen = False
    if found is not None:
        server, _, own = found[0].partition("/")
        if mention.kind != "Tool" or (server, unquote(own)) in bearers.tools:
            return None
        unseen = server not in bearers.observed
    return UnmatchedMention(mention, _similar_names(mention, bearers) if near else (), unseen)


def _similar_names(mention: EntityMention, bearers: NamedEntities) -> tuple[str, ...]:
    kind = "Server" if mention.kind in {"Prompt", "Resource"} else mention.kind
    if kind == "Tag":
        known = sorted(bearers.tags)
    elif kind == "Tool":
        aliases = {server: bearers.names["Server", server] for server in bearers.observed}
        known = sorted(f"{aliases[server]}/{own}" for server, own in bearers.tools)
    else:
        known = sorted(name for (of, _), name in bearers.names.items() if of == kind)
    # Each comparison is slow, and a catalog may hold far more names than that.
    return tuple(get_close_matches(mention.name, known[:2000], n=2))


def _unquoted_cedar_string(literal: str) -> str:
    def character(found: re.Match[str]) -> str:
        code = found[1] or found[2]
        if code is None:
            return _SIMPLE.get(found[3], found[3])
        # `chr` would raise for a code point that does not exist; Cedar refuses such a text.
        return chr(int(code, 16)) if int(code, 16) <= 0x10FFFF else "\N{REPLACEMENT CHARACTER}"

    return _ESCAPE.sub(character, literal[1:-1])


def _quoted_cedar_string(name: str) -> str:
    """The name as a Cedar string; whatever is not printable ASCII is escaped."""
    return '"' + "".join(_escaped_letter(letter) for letter in name) + '"'


def _escaped_letter(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    return letter if letter.isprintable() else f"\\u{{{ord(letter):x}}}"
