"""The parts of a server's definition as fields of a form, and what a form says of them.

A form bears the digest of the definition that it was filled from, and only what is another text by
then is named to the gate; a definition that somebody else changed meanwhile is not changed at all.
What may be secret in what was typed is not written into a page again.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar, get_args

import msgspec
from msgspec import Struct

from gatelodge.core.catalog.references import reference
from gatelodge.core.catalog.server import EraWish, HidableCapability, InstanceScope, Server
from gatelodge.core.errors import Invalid
from gatelodge.core.hosting.facts import IsolationTier
from gatelodge.flows.admin.definitions.proposals import ServerWords
from gatelodge.flows.admin.definitions.stars import STARS, starred
from gatelodge.web.console.forms import FormField, SentForm

S = TypeVar("S", bound=Struct)

_PAIRS: Final = frozenset(("headers", "env", "files"))
_HIDDEN: Final = {f"hide_{each}": each for each in get_args(HidableCapability)}
_VALUE: Final = "NAME=VALUE, one a line; a value may be vault:NAME, or a word and it."
_KEPT: Final = f" {STARS} is a value that is not shown, and stays as it is."
_ANEW: Final = " What may be secret is not shown again: it has to be typed anew."
_USER: Final = re.compile(r"^([^/?#]*//|)[^/?#]*@")
_QUERY_PART: Final = re.compile(r"[^&]+")


class PartField(Struct, frozen=True, kw_only=True):
    """How one part of a definition is asked for."""

    name: str
    label: str
    kind: Literal["text", "line", "choice", "check", "lines"] = "text"
    says: str = ""
    hint: str = ""
    choices: tuple[str, ...] = ()
    needed: bool = False


URL: Final = (
    PartField(
        name="url",
        label="URL",
        kind="line",
        says="A streamable HTTP endpoint.",
        hint="https://mcp.example.com/mcp",
        needed=True,
    ),
)
MORE_OF_URL: Final = (
    PartField(
        name="headers",
        label="Headers",
        kind="lines",
        says=_VALUE,
        hint="Authorization=Bearer vault:NAME",
    ),
    PartField(name="allow_private", label="Its address may be private or loopback", kind="check"),
)
COMMAND: Final = (
    PartField(
        name="command",
        label="Command",
        kind="lines",
        says="One word a line.",
        hint="npx\n-y\n@acme/mcp",
        needed=True,
    ),
)
_ENV: Final = PartField(
    name="env", label="Variables", kind="lines", says=_VALUE, hint="TOKEN=vault:NAME"
)
MORE_OF_COMMAND: Final = (_ENV,)
ARTIFACT: Final = (
    PartField(
        name="args", label="Arguments", kind="lines", says="One word a line.", hint="--read-only"
    ),
    _ENV,
    PartField(
        name="egress",
        label="Places that it may connect to",
        kind="lines",
        says="HOST:PORT, one a line; none where nothing stands here.",
        hint="api.example.com:443",
    ),
)
MORE_OF_ARTIFACT: Final = (
    PartField(
        name="files",
        label="Files below /run/secrets",
        kind="lines",
        says=_VALUE,
        hint="KEY=vault:NAME",
    ),
    PartField(
        name="tier",
        label="Least isolation",
        kind="choice",
        says="With which it may start.",
        choices=get_args(IsolationTier),
    ),
    PartField(
        name="scope",
        label="Who shares an instance",
        kind="choice",
        choices=get_args(InstanceScope),
    ),
    PartField(name="memory_mib", label="Memory, in MiB"),
    PartField(name="cpus", label="Processors"),
    PartField(name="processes", label="Processes and threads"),
    PartField(name="tmp_mib", label="Room in /tmp, in MiB"),
    PartField(
        name="port",
        label="Port",
        says="Where it listens for streamable HTTP on 127.0.0.1; 0 = it speaks over stdio.",
    ),
    PartField(name="path", label="Path on that port"),
)
OF_EVERY: Final = (
    PartField(
        name="tags",
        label="Tags",
        kind="lines",
        says="Words that guardrails can ask for, one a line.",
        hint="finance",
    ),
    PartField(
        name="era",
        label="Era of MCP",
        kind="choice",
        says="auto = what it speaks, and what fits each call.",
        choices=get_args(EraWish),
    ),
    *(
        PartField(name=name, label=f"Never tell it that a client offers {each}", kind="check")
        for name, each in _HIDDEN.items()
    ),
    *(
        PartField(name=name, label=label, says="0 = as the settings say.")
        for name, label in (
            ("start_seconds", "Seconds to start"),
            ("call_seconds", "Seconds for a call"),
            ("longest_seconds", "Seconds for a call with progress"),
        )
    ),
)


def spelled(words: ServerWords) -> dict[str, str]:
    """Each part of a definition as its field shows it; a part that no field can show is left out.

    `words` are those that every role may see: with stars for values that may be secret.
    """
    found = {name: "yes" for name, each in _HIDDEN.items() if each in words.hidden_capabilities}
    for name in words.__struct_fields__:
        value = getattr(words, name)
        if isinstance(value, dict):
            value = tuple(f"{key}={text}" for key, text in value.items())
        if isinstance(value, tuple):
            # A word with a line break or space at its ends would come back as another one.
            if any(len(each.splitlines()) != 1 or each != each.strip() for each in value):
                continue
            value = "\n".join(value)
        if isinstance(value, bool):
            value = "yes" if value else ""
        found[name] = f"{value:g}" if isinstance(value, float) else str(value)
    return {**dict.fromkeys(_HIDDEN, ""), **found}


def fields(
    parts: tuple[PartField, ...],
    shown: Mapping[str, str],
    typed: Mapping[str, str],
    *,
    changes: bool = False,
) -> tuple[FormField, ...]:
    """Parts as fields, filled with what stands there or with what was typed.

    With `changes` only what differs from what stands there is to be changed.
    """
    found = []
    for each in parts:
        if each.name not in shown:
            continue
        # A box without a tick is not sent.
        left = "" if typed and each.kind == "check" else shown[each.name]
        given = typed.get(each.name, left)
        value, hidden = _shown_again(each.name, given)
        kept = _KEPT if changes and each.name in _PAIRS else ""
        found.append(
            FormField(
                name=each.name,
                label=each.label,
                kind=each.kind,
                says=f"{each.says}{kept}{_ANEW if hidden else ''}",
                hint=each.hint,
                choices=each.choices,
                needed=each.needed,
                value=value,
            )
        )
    return tuple(found)


def spelled_server(row: Server) -> dict[str, str]:
    """Each part of a server's definition as its field shows it."""
    return spelled(ServerWords.of(row, starred(row.transport)))


BLANK: Final = spelled(ServerWords(alias=""))
"""What stands in a form before anything is typed."""


def shown_digest(sent: SentForm, name: str) -> str:
    """The digest of what a page showed, as its form bears it. Raises Invalid for a form of none."""
    digest = sent.text(name)
    if not digest:
        raise Invalid("the form does not say what was shown", remedy="Load the page again.")
    return digest


def said_parts(
    parts: tuple[PartField, ...], sent: SentForm, shown: Mapping[str, str]
) -> dict[str, Any]:
    """What a form says otherwise than it was shown, by the names of the API.

    A value that is to go is None. Raises Invalid.
    """
    found: dict[str, Any] = {}
    for each in parts:
        sends = each.name in sent.fields or each.kind == "check"
        typed, was = sent.whole(each.name).strip(), shown.get(each.name, "").strip()
        if typed == was or not sends or each.name not in shown:
            continue
        if each.name in _HIDDEN:
            found["hidden_capabilities"] = _hidden(sent)
        elif each.name in _PAIRS:
            found[each.name] = _changed_pairs(each.label, _pairs(typed), _pairs(was))
        elif each.kind == "lines":
            found[each.name] = tuple(lines(typed))
        elif each.kind == "check":
            found[each.name] = bool(typed)
        else:
            found[each.name] = _whole_text(each.label, typed)
    return found


def read_form(given: Mapping[str, Any], kind: type[S]) -> S:
    """What a form says in the words of the API. Raises Invalid."""
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as fault:
        raise Invalid(f"the form: {fault}", remedy="Correct it, and send it again.") from None


def _hidden(sent: SentForm) -> tuple[str, ...]:
    return tuple(each for name, each in _HIDDEN.items() if sent.text(name))


def lines(text: str) -> list[str]:
    """What was typed one a line, without what is empty and without space around it."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def _pairs(text: str) -> dict[str, str]:
    split = [line.partition("=") for line in lines(text)]
    for name, equals, value in split:
        if not (name.strip() and equals and value.strip()):
            # The text that was given is not told: it may be a secret that lacks its name.
            raise Invalid("a line wants NAME=VALUE", remedy="Write the name before the value.")
    found = {name.strip(): value.strip() for name, _, value in split}
    if len(found) < len(split):
        raise Invalid("a name has two lines", remedy="Leave one of them.")
    return found


def _shown_again(name: str, typed: str) -> tuple[str, bool]:
    """What was typed as a page may show it, and whether something of it is left out there."""
    if name in _PAIRS:
        given = lines(typed)
        # A line without a name may be a secret as well, or a part of one.
        again = [_without_secret(line) for line in given if "=" in line]
        return "\n".join(again), again != given
    if name == "url":
        again_url = _without_secrets_of_url(typed.strip())
        return again_url, again_url != typed.strip()
    return typed, False


def _without_secret(line: str) -> str:
    name, _, value = line.partition("=")
    return line if value.strip() == STARS or reference(value.strip()) else f"{name.strip()}="


def _without_secrets_of_url(url: str) -> str:
    """A URL with stars that are refused when they are sent: none stands for what is there."""
    whole, fragment, _ = _USER.sub(rf"\1{STARS}@", url).partition("#")
    where, mark, query = whole.partition("?")
    told = _QUERY_PART.sub(_without_value, query)
    return f"{where}{mark}{told}{f'#{STARS}' if fragment else ''}"


def _without_value(part: re.Match[str]) -> str:
    name, equals, _ = part[0].partition("=")
    return part[0] if part[0] == STARS else f"{name if equals else ''}={STARS}"


def _changed_pairs(label: str, typed: dict[str, str], was: dict[str, str]) -> dict[str, str | None]:
    gone: dict[str, str | None] = {name: None for name in was if name not in typed}
    new = {name: value for name, value in typed.items() if was.get(name) != value}
    for name, value in new.items():
        if STARS in value:
            raise Invalid(
                f"{label}: {STARS} stands for a value that is there, and {name[:40]!r} has none",
                remedy="Write a value, or vault:NAME.",
            )
    return {**gone, **new}


def _whole_text(label: str, typed: str) -> str:
    if STARS in typed:
        raise Invalid(
            f"{label}: {STARS} stands for what is not shown, and would be sent as it stands",
            remedy="Write it whole, or leave it as it was shown.",
        )
    return typed
