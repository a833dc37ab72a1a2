"""How a server may be reached: one rule, for whoever writes a definition and whoever uses it.

A definition is judged whole before a row of it exists, and once more when its server is reached.
What shows only then is judged by parts of the same rule: the value behind a reference
(`header_line`, `check_variable`), and the address that a name leads to (`check_address` of
`core.http.endpoint`).
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from gatelodge.core.catalog.references import (
    HOW,
    half_reference,
    literal,
    reference,
    unread_reference,
)
from gatelodge.core.catalog.server import (
    ArtifactTransport,
    HttpTransport,
    StdioTransport,
    Transport,
)
from gatelodge.core.errors import Invalid
from gatelodge.core.hosting.scripts import check_scripts
from gatelodge.core.hosting.source import check_image, check_place, read_source
from gatelodge.core.http.endpoint import HttpEndpoint, header_line, read_url

MOST_WORDS: Final = 512
MOST_PLACES: Final = 64
LONGEST_TRANSPORT: Final = 64 * 1024
"""Bytes of all words together: half of what the kernel takes as one word of a command."""

_OF_URL = ("url", "headers", "allow_private")
_OF_COMMAND = ("command", "env", "cwd", "run_as")
_OF_ARTIFACT = (
    "source",
    "image",
    "args",
    "env",
    "files",
    "egress",
    "memory_mib",
    "cpus",
    "processes",
    "tmp_mib",
    "tier",
    "scope",
    "port",
    "path",
    "run_scripts",
)
_WAYS = {"url": _OF_URL, "command": _OF_COMMAND, "source": _OF_ARTIFACT}
"""The parts of each way to a server, by the one that names it."""
_TOLD = {"url": "a url", "command": "a command", "source": "an artifact"}
PARTS: Final = tuple(dict.fromkeys((*_OF_URL, *_OF_COMMAND, *_OF_ARTIFACT)))
"""What a definition says of the way to its server, by the names that every face has for it."""

_WORD = re.compile(r"[^\0\ud800-\udfff]*")
"""What the kernel takes as a word or a value: no NUL, and nothing that UTF-8 cannot write."""
_FIRST_PORT: Final = 1024
_PATH = re.compile(r"/[A-Za-z0-9._~/-]{0,255}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_PRIVATE = (
    "For a server on this machine or an own network say that its address may be private: the box "
    "of that name on the page, --allow-private of the command, allow_private in a file."
)


def check_parts(named: Collection[str]) -> None:
    """Refuse parts of two ways to reach a server: those of one would be left out unseen.

    `named` are those of `PARTS` that somebody gave. Raises Invalid.
    """
    ways = [way for way in _WAYS if way in named]
    if len(ways) > 1:
        told = " or ".join(_TOLD[way] for way in reversed(ways))
        raise Invalid(f"give {told}, not both", remedy="Take one of them away.")
    if not ways:
        raise Invalid(
            "a server is reached by an artifact, a command or a url",
            remedy="Say pypi:NAME@VERSION, --url URL, or -- CMD ARGS... (in a file: source, url or "
            "command).",
        )
    odd = [part for part in PARTS if part in named and part not in _WAYS[ways[0]]]
    if odd:
        way = next(_TOLD[each] for each, parts in _WAYS.items() if odd[0] in parts)
        raise Invalid(
            f"{odd[0]}: only for a server that is reached by {way}",
            remedy=f"Take it away, or reach the server by {way}.",
        )


def check_transport(transport: Transport) -> None:
    """Refuse a definition whose server could not be reached as it stands.

    Raises Invalid with the place and what to write instead; no value is named.
    """
    if isinstance(transport, StdioTransport):
        _check_extent((*transport.command, transport.cwd), transport.env)
        _check_process(transport)
    elif isinstance(transport, ArtifactTransport):
        words = (
            *(transport.source, transport.image, *transport.args, *transport.egress),
            *transport.run_scripts,
        )
        _check_extent(words, {**transport.env, **transport.files})
        _check_artifact(transport)
    else:
        _check_extent((transport.url,), transport.headers)
        # Of an endpoint only headers are read for references: here one would be sent as it stands.
        _no_reference("url", re.split(r"[/?&=]", transport.url), "--header NAME=env:NAME")
        http_endpoint(transport)
        _check_headers(transport.headers)


def http_endpoint(transport: HttpTransport) -> HttpEndpoint:
    """Where a transport's URL leads. Raises Invalid for one that cannot be used."""
    return read_url(transport.url, private=transport.allow_private, opens=_PRIVATE)


def check_variable(name: str, value: str) -> None:
    """Refuse a variable that no process can be given. Raises Invalid; the value is not named."""
    if _VARIABLE.fullmatch(name) is None:
        raise Invalid(
            f"env: not a name that can be used: {name[:40]!r}",
            remedy="A variable's name has letters, digits and underscores, and begins with no "
            "digit.",
        )
    if _WORD.fullmatch(value) is None:
        raise Invalid(
            f"env: the value of {name} holds a NUL character, or is no text",
            remedy="Give it without.",
        )


def _check_extent(words: Collection[str], pairs: Mapping[str, str]) -> None:
    """Raise Invalid for more words than a program or a request takes."""
    texts = (*words, *pairs, *pairs.values())
    # Half of a surrogate pair is refused later, by its place: measuring must not raise for it.
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    if size > LONGEST_TRANSPORT or len(words) + len(pairs) > MOST_WORDS:
        raise Invalid(
            "how a server is reached is said in at most "
            f"{MOST_WORDS} words of {LONGEST_TRANSPORT} bytes together",
            remedy="Put what is longer into a file that the server reads.",
        )


def _check_process(transport: StdioTransport) -> None:
    cwd, program = transport.cwd, next(iter(transport.command), "")
    if not program:
        raise Invalid(
            "command: a program has to be named",
            remedy="Write it after two hyphens: -- CMD ARGS...",
        )
    for place, word in (*(("command", word) for word in transport.command), ("cwd", cwd)):
        if _WORD.fullmatch(word) is None:
            raise Invalid(
                f"{place}: a word holds a NUL character, or is no text", remedy="Give it without."
            )
    if cwd and not cwd.startswith("/"):
        raise Invalid("cwd: not an absolute path", remedy="Write the whole path, from / on.")
    if "/" in program and not program.startswith("/") and not cwd:
        raise Invalid(
            f"command: {program[:40]!r} is a path that begins nowhere",
            remedy="Name the program by its whole path, or give the directory (--cwd DIR).",
        )
    _no_reference("command", transport.command, "--env NAME=env:NAME")
    for name, value in transport.env.items():
        check_variable(name, _checked_literal("env", name, value))


def _check_artifact(transport: ArtifactTransport) -> None:
    check_scripts(transport.run_scripts, read_source(transport.source))
    check_image(transport.image)
    for word in transport.args:
        if _WORD.fullmatch(word) is None:
            raise Invalid("args: a word holds a NUL character, or is no text")
    _no_reference("args", transport.args, "--env NAME=env:NAME")
    for name, value in transport.env.items():
        check_variable(name, _checked_literal("env", name, value))
    for name, value in transport.files.items():
        check_variable(name, _checked_literal("files", name, value))
    ports = {check_place(place)[1] for place in transport.egress}
    if len(transport.egress) > MOST_PLACES:
        raise Invalid(
            f"egress: a server may be allowed {MOST_PLACES} places at most",
            remedy="Leave some out.",
        )
    if transport.port:
        _check_listening(transport.port, transport.path, ports)


def _check_listening(port: int, path: str, taken: set[int]) -> None:
    """Raise Invalid where the gate's own listeners are to be, and for a path that is none."""
    if port < _FIRST_PORT or port in taken:
        raise Invalid(
            f"port: {port} is not one where this server can listen",
            remedy="Name one from 1024 on that is not a port of its egress.",
        )
    if _PATH.fullmatch(path) is None:
        raise Invalid("path: is not the path of a URL", remedy="Write it so: /mcp")


def _check_headers(headers: Mapping[str, str]) -> None:
    names: dict[str, str] = {}
    for name, value in headers.items():
        header_line(name, _checked_literal("headers", name, value))
        # Both would be sent, and which of them counts would be for the server to choose.
        twin = names.setdefault(name.lower(), name)
        if twin != name:
            raise Invalid(
                f"headers: {twin!r} and {name!r} are the same header",
                remedy=f"Take one of them away (--drop-header {twin}).",
            )


def _checked_literal(what: str, name: str, value: str) -> str:
    """The text that is written there; "" for a reference, whose text is judged when it is read.

    Raises Invalid for what looks like a reference and is none, and for a line break.
    """
    if any(letter in value for letter in "\0\r\n"):
        raise Invalid(
            f"{what}: the value of {name[:40]!r} holds a line break or a NUL character",
            remedy="Put a longer secret into a file, and write file:/PATH.",
        )
    wrong = half_reference(value)
    if wrong:
        raise Invalid(f"{what}: the value of {name[:40]!r} {wrong}", remedy=HOW)
    return "" if reference(value) else literal(value)


def _no_reference(what: str, words: Iterable[str], instead: str) -> None:
    """Raise Invalid for a word that looks like a reference, where none is read."""
    for word in words:
        if unread_reference(word):
            raise Invalid(
                f"{what}: {word[:40]!r} looks like a reference, and none is read there",
                remedy=f"Whoever looks at this machine can see it there; use {instead}.",
            )
