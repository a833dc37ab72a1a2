"""The files in which MCP clients name their servers, read into definitions of ours."""

import re
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from gatelodge.core.catalog.server import Transport
from gatelodge.core.catalog.transport import check_parts, check_transport
from gatelodge.core.errors import HouseError, Invalid
from gatelodge.core.protocol.shown.names import alias_for, is_alias

_KEYS = ("mcpServers", "servers", "context_servers")
_URLS = ("url", "serverUrl", "httpUrl")
_VARIABLE = re.compile(r"(?P<before>(?:[A-Za-z][\w-]* )?)\$\{(?:env:)?(?P<name>[A-Za-z_]\w*)\}")


class McpFileEntry(Struct, frozen=True, kw_only=True):
    """One server of the file. `fault` says why it cannot be taken, empty when it can."""

    name: str
    alias: str
    transport: dict[str, object] = {}
    fault: str = ""


def entries(file: object, run_as: str) -> list[McpFileEntry]:
    """Every server that the file names. Raises Invalid when it names none in a known way."""
    return list(_parse_entries(_table_of_servers(file), run_as))


def _parse_entries(table: dict[str, object], run_as: str) -> Iterator[McpFileEntry]:
    for name, said in table.items():
        alias = name if is_alias(name) else alias_for(name)
        try:
            transport = _parse_transport(said, run_as)
            # Judged here as the gate will judge it, so that an entry is refused alone and before
            # any is sent.
            check_transport(msgspec.convert(transport, Transport))
        except Invalid as fault:
            yield McpFileEntry(name=name, alias=alias, fault=in_one_line(fault))
        else:
            yield McpFileEntry(name=name, alias=alias, transport=transport)


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
