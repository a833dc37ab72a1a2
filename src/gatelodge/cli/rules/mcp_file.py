"""The files in which MCP clients name their servers, read into definitions of ours."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from gatelodge.core.catalog.server import Transport
from gatelodge.core.catalog.transport import check_parts, check_transport
from gatelodge.core.errors import HouseError, Invalid
from gatelodge.core.fleet.launcher import EXACT, program_name, split_version
from gatelodge.core.hosting.source import read_source
from gatelodge.core.protocol.shown.names import alias_for, is_alias

_KEYS = ("mcpServers", "servers", "context_servers")
_URLS = ("url", "serverUrl", "httpUrl")
_VARIABLE = re.compile(r"(?P<before>(?:[A-Za-z][\w-]* )?)\$\{(?:env:)?(?P<name>[A-Za-z_]\w*)\}")

_SILENT = {"npx": ("-y", "--yes", "-q", "--quiet"), "uvx": ("-q", "--quiet", "--no-progress")}
_NAMING = {"npx": ("-p", "--package"), "uvx": ("--from",)}
_KINDS = {"npx": "npm", "uvx": "pypi"}
_NO_IMAGE: Final = f"sha256:{'0' * 64}"
"""Stands for the image that is not built yet, while the rest is judged."""


class McpFileEntry(Struct, frozen=True, kw_only=True):
    """One server of the file. `fault` says why it cannot be taken, empty when it can.

    Where its transport is an artifact it has no image yet: the package is to be built first, with
    `script` as its program.
    """

    name: str
    alias: str
    transport: dict[str, object] = {}
    script: str = ""
    fault: str = ""


def entries(file: object, run_as: str, *, hosted: bool = False) -> list[McpFileEntry]:
    """Every server that the file names. Raises Invalid when it names none in a known way.

    With `hosted` a command that fetches a package (`npx`, `uvx`) becomes that package.
    """
    return list(_parse_entries(_table_of_servers(file), run_as, hosted=hosted))


def _parse_entries(
    table: dict[str, object], run_as: str, *, hosted: bool
) -> Iterator[McpFileEntry]:
    for name, said in table.items():
        alias = name if is_alias(name) else alias_for(name)
        try:
            transport, script = _parse_transport(said, run_as), ""
            if hosted and transport["type"] == "stdio":
                transport, script = _hosted_transport(alias, transport)
            # Judged here as the gate will judge it, so that an entry is refused alone and before
            # any is sent.
            unbuilt = {"image": _NO_IMAGE} if transport["type"] == "artifact" else {}
            check_transport(msgspec.convert({**transport, **unbuilt}, Transport))
        except Invalid as fault:
            yield McpFileEntry(name=name, alias=alias, fault=in_one_line(fault))
        else:
            yield McpFileEntry(name=name, alias=alias, transport=transport, script=script)


def _hosted_transport(alias: str, command: dict[str, Any]) -> tuple[dict[str, object], str]:
    """The package that a command would fetch, and its program; any other command as it is."""
    package = package_of_command(alias, command["command"])
    if package is None:
        return command, ""
    if command["cwd"]:
        raise Invalid("cwd: a hosted package has no directory of this machine")
    given = {"source": package.source, "args": package.args, "env": command["env"]}
    return {"type": "artifact", **given}, package.script


def in_one_line(fault: HouseError) -> str:
    """What is wrong, and what to do about it."""
    return f"{fault.detail}. {fault.remedy}".rstrip(". ")


def _table_of_servers(file: object) -> dict[str, object]:
    """The table of servers, at the top or one level below (`mcp` in a settings file)."""
    tops = [file]
    if isinstance(file, dict):
        tops += [file.get("mcp")]
    for top in tops:
        for key in _KEYS:
            found = top.get(key) if isinstance(top, dict) else None
            if isinstance(found, dict):
                return found
    raise Invalid("the file names no servers", remedy=f"It wants one of: {', '.join(_KEYS)}.")


def _parse_transport(said: object, run_as: str) -> dict[str, object]:
    if not isinstance(said, dict):
        raise Invalid("it is no table")
    url = next((said[each] for each in _URLS if said.get(each)), None)
    named = {each for each in ("command", "env", "cwd", "headers") if said.get(each)}
    check_parts(named | ({"url"} if url else set()))
    if isinstance(url, str):
        headers = _convert_placeholders(said.get("headers"), "headers")
        return {"type": "http", "url": _text_without_placeholder(url, "url"), "headers": headers}
    command, args = said.get("command"), said.get("args") or []
    if not isinstance(command, str) or not isinstance(args, list):
        raise Invalid("it has neither a command nor a url")
    given = (_text_without_placeholder(word, f"args[{at}]") for at, word in enumerate(args))
    words = [_text_without_placeholder(command, "command"), *given]
    return {
        "type": "stdio",
        "command": words,
        "env": _convert_placeholders(said.get("env"), "env"),
        "cwd": _text_without_placeholder(said.get("cwd") or "", "cwd"),
        "run_as": run_as,
    }


def _convert_placeholders(said: object, what: str) -> dict[str, str]:
    """Values of variables or headers; `${NAME}` becomes a reference to the gate's variable."""
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise Invalid(f"{what}: no table")
    values = {}
    for name, value in said.items():
        text = _text_or_number(value, f"{what}.{name}")
        # Only a whole value becomes a reference: the gate joins nothing but one word and a secret.
        found = _VARIABLE.fullmatch(text)
        values[str(name)] = f"{found['before']}env:{found['name']}" if found else text
        if not found and "${" in text:
            # Clients ask a person for such a value at each start; the gate has nobody to ask.
            raise Invalid(f"{what}: {name} has a placeholder that is asked of a person")
    return values


def _text_without_placeholder(word: object, what: str) -> str:
    word = _text_or_number(word, what)
    # Words of a command stand in the list of processes, and URLs in lists of servers: no secret may
    # be put into them.
    if "${" in word:
        raise Invalid(f"{what}: a placeholder stands in a word that everybody can see")
    return word


def _text_or_number(value: object, what: str) -> str:
    # `null` and `true` mean something to whoever wrote them that no process would be told.
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"{what}: neither a text nor a number")
    return str(value)


class PackageCommand(Struct, frozen=True):
    """A package at one version, the program of it that is the server, and its arguments.

    `script` is empty where the package's own program is meant.
    """

    source: str
    script: str
    args: tuple[str, ...]


def package_of_command(alias: str, words: Sequence[str]) -> PackageCommand | None:
    """The package that a command would fetch; None for one that runs what is there already.

    Raises Invalid where it names no exact version, or has options that mean nothing to an image.
    """
    runner = program_name(words[0])
    rest = list(words[1:])
    if runner == "uv" and rest[:2] == ["tool", "run"]:
        runner, rest = "uvx", rest[2:]
    if runner not in _KINDS:
        return None
    named = _take_options(alias, runner, rest)
    if not rest:
        raise Invalid(f"{runner} names no package", remedy=_how(alias, runner, "NAME"))
    program = rest.pop(0)
    package = named or program
    return PackageCommand(
        _exact_source(alias, runner, package), program if named else "", tuple(rest)
    )


def _take_options(alias: str, runner: str, words: list[str]) -> str:
    """Take the options in front away; the package that one of them names, or nothing."""
    named = ""
    while words and words[0].startswith("-"):
        word = words.pop(0)
        option, equals, value = word.partition("=")
        if word == "--":
            break
        if option in _NAMING[runner] and not named and (equals or words):
            named = value if equals else words.pop(0)
        elif word not in _SILENT[runner]:
            # What it would change (an index, a Python, packages beside it) would be lost unsaid.
            raise Invalid(
                f"{runner} {option} says nothing to a hosted package",
                remedy=_how(alias, runner, named or "NAME"),
            )
    return named


def _exact_source(alias: str, runner: str, package: str) -> str:
    kind = _KINDS[runner]
    name, version = split_version(kind, package)
    if not EXACT[kind].fullmatch(version):
        raise Invalid(f"{package} names no exact version", remedy=_how(alias, runner, name))
    source = f"{kind}:{name}@{version}"
    read_source(source)
    return source


def _how(alias: str, runner: str, name: str) -> str:
    return f"Host it: gatelodge server add {alias} {_KINDS[runner]}:{name}@VERSION"
