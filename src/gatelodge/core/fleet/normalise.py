"""An entry of a client's file, in whatever words that client has for it, made into one form.

Secrets are taken out here and nowhere later: what leaves this module holds none.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from gatelodge.core.errors import Invalid
from gatelodge.core.fleet.entry import (
    EntryPlace,
    EntryValue,
    FleetEntry,
    FoundSecret,
    Seal,
    SecretPlace,
    ToolFilter,
)
from gatelodge.core.fleet.launcher import LaunchedCommand, read_launcher
from gatelodge.core.fleet.looks import (
    SECRET_WORD,
    AskedValue,
    asked_value,
    hidden_in_url,
    holds_placeholder,
    key_shaped,
    plain_setting,
    secret_literal,
    split_scheme,
    url_without_secrets,
)
from gatelodge.core.fleet.places import SaidEntry

_URLS: Final = ("url", "serverUrl", "httpUrl", "uri", "server_url")
_ENVS: Final = ("env", "environment", "envs")
_HEADERS: Final = ("headers", "http_headers")
_ONLY: Final = ("includeTools", "enabled_tools", "available_tools", "allowedTools", "enabledTools")
_NEVER: Final = ("excludeTools", "disabled_tools", "disabledTools", "excludedTools")
_BUILT_IN: Final = ("builtin", "platform", "frontend", "inline_python")
MOST_WORDS: Final = 512
LONGEST_WORD: Final = 32 * 1024
_LONGEST_NAME: Final = 120
_PAIR = re.compile(r"([A-Za-z][\w.-]{0,80})[\"']?\s*[=:]\s*[\"']?([^\s\"',;&}]+)")
STARS: Final = "***"


def normalised(place: EntryPlace, entry: SaidEntry, seal: Seal) -> FleetEntry:
    """What a file says of one server, without any secret; one that cannot be read has a fault."""
    place = replace(place, name=safe_name(place.name), project=safe_name(place.project))
    if entry.fault:
        return FleetEntry(place=place, fault=entry.fault)
    try:
        found = _read_entry(place, entry.said, seal)
    except Invalid as fault:
        return FleetEntry(place=place, fault=fault.detail, off=entry.off)
    return replace(found, off=found.off or entry.off)


def safe_name(text: str) -> str:
    """A name as it may be shown: not too long, and no key that somebody put in its place."""
    plain = text.encode("utf-8", "replace").decode()
    if key_shaped(plain):
        return f"{STARS} ({len(plain)} characters)"
    return plain if len(plain) <= _LONGEST_NAME else plain[:_LONGEST_NAME] + "…"


def _read_entry(place: EntryPlace, said: object, seal: Seal) -> FleetEntry:
    if not isinstance(said, Mapping):
        raise Invalid("it is no table")
    if str(said.get("type", "")).lower() in _BUILT_IN or said.get("bundled") is True:
        raise Invalid("it is a part of the client, no server")
    launched = _launched(said)
    env = {**dict(launched.env), **_texts(said, _ENVS), **_named_inputs(said, "env_keys")}
    headers = {**dict(launched.headers), **_texts(said, _HEADERS), **_named_headers(said)}
    if len(env) + len(headers) + len(launched.args) > MOST_WORDS:
        raise Invalid(f"it has more than {MOST_WORDS} words")
    cleaned, misplaced = _cleaned(launched, seal)
    cwd = said.get("cwd") or said.get("workingDirectory") or ""
    return FleetEntry(
        place=place,
        launched=cleaned,
        env={safe_name(k): _value("env", k, v, seal) for k, v in env.items()},
        headers={safe_name(k): _value("header", k, v, seal) for k, v in headers.items()},
        misplaced=misplaced,
        cwd=safe_name(cwd) if isinstance(cwd, str) else "",
        off=_is_off(said),
        tools=_tool_filter(said),
    )


def _launched(said: Mapping[str, object]) -> LaunchedCommand:
    url = next((said[each] for each in _URLS if said.get(each)), None)
    command = said.get("command") or said.get("cmd") or None
    args = said.get("args") or []
    if isinstance(command, Mapping):  # an older form of one editor
        table: Mapping[str, object] = command
        command, args = table.get("path"), table.get("args") or []
    if url is not None and command is not None:
        raise Invalid("it has a command and a url")
    if isinstance(url, str):
        return LaunchedCommand(kind="remote", url=_bounded(url, "url").strip())
    words = command if isinstance(command, list) else [command]
    if not isinstance(args, list) or not all(isinstance(word, str) and word for word in words[:1]):
        raise Invalid("it has neither a command nor a url")
    if len(words) + len(args) > MOST_WORDS:
        raise Invalid(f"it has more than {MOST_WORDS} words")
    given = [_text(word, f"args[{at}]") for at, word in enumerate([*words[1:], *args])]
    first = _bounded(str(words[0]), "command").strip()
    # Some people write the whole line where a program is meant; a path may hold a space itself.
    line = first.split() if not given and " " in first and "/" not in first.split()[0] else [first]
    return read_launcher([*line, *given])


def _texts(said: Mapping[str, object], keys: Sequence[str]) -> dict[str, str]:
    found = dict[str, str]()
    options = said.get("requestOptions") or said.get("request_options")
    tables: list[Mapping[str, object]] = [said]
    if isinstance(options, Mapping):
        tables.append(options)
    for table in tables:
        for key in keys:
            values = table.get(key)
            if values is None:
                continue
            if not isinstance(values, Mapping):
                raise Invalid(f"{key}: no table")
            if len(values) > MOST_WORDS:
                raise Invalid(f"it has more than {MOST_WORDS} words")
            found |= {
                str(name): _text(v, f"{key}.{safe_name(str(name))}") for name, v in values.items()
            }
    return found


def _named_inputs(said: Mapping[str, object], key: str) -> dict[str, str]:
    names = said.get(key)
    listed = names[:MOST_WORDS] if isinstance(names, list) else []
    return {each: f"${{{each}}}" for each in listed if isinstance(each, str) and each}


def _named_headers(said: Mapping[str, object]) -> dict[str, str]:
    """Headers whose values are variables by name, as two clients write them."""
    found = dict[str, str]()
    for key in ("env_http_headers", "header_env"):
        table = said.get(key)
        for name, variable in table.items() if isinstance(table, Mapping) else ():
            found[str(name)] = f"${{{variable}}}"
    variable = said.get("bearer_token_env_var") or said.get("bearer_token_env")
    if isinstance(variable, str) and variable:
        found["Authorization"] = f"Bearer ${{{variable}}}"
    token = said.get("bearer_token") or said.get("apiKey")
    if isinstance(token, str) and token:
        found["Authorization"] = f"Bearer {token}"
    return found


def _text(value: object, what: str) -> str:
    # `null` and `true` mean something to whoever wrote them that no process would be told.
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value) if isinstance(value, float) or abs(value) < 10**40 else "0"
    if not isinstance(value, str):
        raise Invalid(f"{what}: neither a text nor a number")
    return _bounded(value, what)


def _bounded(text: str, what: str) -> str:
    if len(text) > LONGEST_WORD:
        raise Invalid(f"{what}: longer than {LONGEST_WORD} characters")
    # Half of a surrogate pair is nothing that a file could be written with.
    return text.encode("utf-8", "replace").decode()


def _value(place: SecretPlace, name: str, text: str, seal: Seal) -> EntryValue:
    asked = asked_value(text)
    if asked is not None:
        return asked
    if holds_placeholder(text):
        return AskedValue(re.sub(r"\W+", "_", safe_name(name)))
    if plain_setting(name, text):
        return text
    before, value = split_scheme(text) if place == "header" else ("", text)
    return FoundSecret(
        place=place,
        name=safe_name(name),
        length=len(value),
        mark=seal(value),
        before=before,
        sure=secret_literal(name, text),
    )


def _cleaned(found: LaunchedCommand, seal: Seal) -> tuple[LaunchedCommand, tuple[FoundSecret, ...]]:
    """The same without secrets in its words and its address, and those that stood there."""
    secrets, words, before = list[FoundSecret](), list[str](), ""
    for word in found.args:
        name = _shown_secret(before, word)
        before = word
        if name is None:
            words.append(word)
            continue
        option, equals, value = word.partition("=")
        kept = f"{option}=" if equals and option.startswith("-") and not key_shaped(option) else ""
        secrets.append(_misplaced("argument", name, value if kept else word, seal))
        words.append(kept + STARS)
    hidden = hidden_in_url(found.url) if found.url else []
    secrets += [_misplaced("url", name, value, seal) for name, value in hidden]
    parts = {}
    for part in ("name", "version", "script"):
        text = getattr(found, part)
        if text and key_shaped(text) and not _is_digest(text):
            secrets.append(_misplaced("argument", part, text, seal))
            parts[part] = STARS
    cleaned = replace(
        found,
        args=tuple(words),
        url=url_without_secrets(found.url) if hidden else found.url,
        headers=(),
        env=(),
        options=tuple(safe_name(each) for each in found.options),
        **parts,
    )
    return cleaned, tuple(secrets)


def _is_digest(text: str) -> bool:
    return re.fullmatch(r"sha256:[0-9a-f]{64}", text) is not None


def _misplaced(place: SecretPlace, name: str, value: str, seal: Seal) -> FoundSecret:
    return FoundSecret(place=place, name=safe_name(name), length=len(value), mark=seal(value))


def _shown_secret(before: str, word: str) -> str | None:
    """What a word that is a secret is called; None for any other word."""
    if asked_value(word) is not None:
        return None
    named = before.startswith("-") and "=" not in before and SECRET_WORD.search(before)
    if named and word and not word.startswith("-"):
        return before.lstrip("-")
    for name, value in _PAIR.findall(word[:LONGEST_WORD]):
        if secret_literal(name, value) and asked_value(value) is None:
            return str(name)
    return "argument" if key_shaped(word) else None


def _is_off(said: Mapping[str, object]) -> bool:
    return said.get("disabled") is True or said.get("enabled") is False


def _tool_filter(said: Mapping[str, object]) -> ToolFilter:
    only = list[str]()
    listed = False
    tools = said.get("tools")
    for names in (*(said.get(key) for key in _ONLY), tools):
        if isinstance(names, list) and "*" not in names and all(isinstance(n, str) for n in names):
            # An empty one lets nothing through: taken for all it would give more than they had.
            listed = True
            only += names
    never = [n for key in _NEVER for n in _list(said.get(key)) if isinstance(n, str)]
    if isinstance(tools, Mapping):
        never += [str(name) for name, on in tools.items() if on is False]
    return ToolFilter(
        tuple(sorted({safe_name(n) for n in only[:MOST_WORDS]})) if listed else None,
        tuple(sorted({safe_name(n) for n in never[:MOST_WORDS]})),
    )


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
