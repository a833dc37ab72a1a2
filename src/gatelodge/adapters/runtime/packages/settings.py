"""Where packages come from: what a tool is told of this machine's settings, and nothing else.

The gate reads the variables and files that `uv`, `pip` and `npm` have for that, and hands over by
name those that say which index or registry, through which proxy, trusted by which authority, and
what opens it. All else in them (scripts, programs, folders, a keyring, a netrc) stays behind.
"""

import configparser
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct

OF_THE_NETWORK: Final = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "NODE_EXTRA_CA_CERTS",
)
_DEFAULT: Final = ("UV_DEFAULT_INDEX", "UV_INDEX_URL")
_FURTHER: Final = ("UV_INDEX", "UV_EXTRA_INDEX_URL")
_OF_UV: Final = (
    *_DEFAULT,
    *_FURTHER,
    "UV_FIND_LINKS",
    "UV_NO_INDEX",
    "UV_INDEX_STRATEGY",
    "UV_INSECURE_HOST",
    "UV_SYSTEM_CERTS",
    "UV_NATIVE_TLS",
    "UV_OFFLINE",
    "UV_EXCLUDE_NEWER",
    "UV_HTTP_TIMEOUT",
    "UV_HTTP_RETRIES",
)
_OPENS_INDEX: Final = re.compile(r"UV_INDEX_[A-Z0-9_]+_(?:USERNAME|PASSWORD)")
_OF_PIP: Final = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}
"""Of pip's options, those that say where packages come from, and what uv calls them."""
_OF_UV_FILE: Final = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "index-strategy": "UV_INDEX_STRATEGY",
    "allow-insecure-host": "UV_INSECURE_HOST",
    "system-certs": "UV_SYSTEM_CERTS",
    "native-tls": "UV_SYSTEM_CERTS",
    "offline": "UV_OFFLINE",
    "exclude-newer": "UV_EXCLUDE_NEWER",
}
_OF_NPM: Final = frozenset(
    (
        "registry", "cafile", "ca", "ca[]", "proxy", "https-proxy", "http-proxy", "noproxy",
        "strict-ssl", "replace-registry-host", "before", "min-release-age", "offline",
        "prefer-offline", "maxsockets", "fetch-timeout", "fetch-retries", "fetch-retry-factor",
        "fetch-retry-mintimeout", "fetch-retry-maxtimeout",
    )
)  # fmt: skip
_OPENS_REGISTRY: Final = (":_authtoken", ":_auth", ":username", ":_password", ":email")
_VARIABLE: Final = re.compile(r"\$\{([^}]+)\}")
_MOST_BYTES: Final = 1 << 20


class PackageSources(Struct, frozen=True, kw_only=True):
    """What a tool is told: variables, lines of a file of settings, and files that those name."""

    env: dict[str, str]
    lines: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def network_variables() -> dict[str, str]:
    """Of the gate's environment: how to get out, and whom to trust there."""
    return {name: os.environ[name] for name in OF_THE_NETWORK if name in os.environ}


def sources_of_python() -> PackageSources:
    """For uv: its own variables, those of pip, its files, pip's files; the first that says it."""
    env = network_variables()
    for name, value in os.environ.items():
        if name in _OF_UV or _OPENS_INDEX.fullmatch(name):
            env[name] = value
    of_pip = {name: os.environ.get(f"PIP_{name.upper().replace('-', '_')}", "") for name in _OF_PIP}
    found = ({_OF_PIP[name]: value for name, value in of_pip.items()}, _of_uv_files(), _pip_files())
    for each in found:
        for name, value in each.items():
            group = next((g for g in (_DEFAULT, _FURTHER) if name in g), (name,))
            if value and not any(known in env for known in group):
                env[name] = ",".join(value.split()) if name == "UV_FIND_LINKS" else value
    named = [word for name in (*_DEFAULT, *_FURTHER) for word in env.get(name, "").split()]
    named += env.get("UV_FIND_LINKS", "").split(",")
    named += [env.get(name, "") for name in OF_THE_NETWORK]
    return PackageSources(env=env, files=tuple(_paths(named)))


def sources_of_node(npm: str) -> PackageSources:
    """For npm: its variables, and lines of its files; the file of the user says it last."""
    env = network_variables()
    lines = list[str]()
    for name, value in os.environ.items():
        if name.lower().startswith("npm_config_") and _is_of_npm(name[len("npm_config_") :]):
            env[name] = value
    for path in _files_of_npm(npm):
        for line in _text(path).splitlines():
            key, equals, value = line.partition("=")
            if equals and key.strip()[:1] not in ("#", ";") and _is_of_npm(key.strip()):
                lines.append(f"{key.strip()}={_with_variables(value.strip())}")
    named = [value for name, value in env.items() if name.lower().endswith("_cafile")]
    named += [line[len("cafile=") :].strip("\"'") for line in lines if line.startswith("cafile=")]
    named += [env.get(name, "") for name in OF_THE_NETWORK]
    return PackageSources(env=env, lines=tuple(lines), files=tuple(_paths(named)))


def _is_of_npm(key: str) -> bool:
    name = key.lower()
    if name.startswith("//"):
        return name.endswith(_OPENS_REGISTRY)
    if name.startswith("@"):
        return name.endswith(":registry")
    return name.replace("_", "-") in _OF_NPM


def _files_of_npm(npm: str) -> Iterable[Path]:
    """The machine's, then the user's."""
    yield Path("/etc/npmrc")
    said = _variable("npm_config_globalconfig")
    yield Path(said) if said else Path(npm).parent.parent / "etc" / "npmrc"
    yield Path(_variable("npm_config_userconfig") or "~/.npmrc").expanduser()


def _variable(name: str) -> str:
    return next((value for each, value in os.environ.items() if each.lower() == name), "")


def _with_variables(value: str) -> str:
    """As npm reads it: what is not set stands as it is written."""
    return _VARIABLE.sub(lambda found: os.environ.get(found[1], found[0]), value)


def _of_uv_files() -> dict[str, str]:
    """The user's settings before the machine's; a file that is named stands for both."""
    if os.environ.get("UV_NO_CONFIG", "").lower() in ("1", "true"):
        return {}
    said = os.environ.get("UV_CONFIG_FILE")
    own = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    paths = (Path(said),) if said else (own / "uv/uv.toml", Path("/etc/uv/uv.toml"))
    found = dict[str, str]()
    for path in paths:
        try:
            told = tomllib.loads(_text(path))
        except tomllib.TOMLDecodeError:
            continue
        for section in (told.get("pip"), told):
            if isinstance(section, dict):
                for name, value in _of_uv_section(section).items():
                    found.setdefault(name, value)
    return found


def _of_uv_section(section: Mapping[str, Any]) -> dict[str, str]:
    found, further = dict[str, str](), list[str]()
    for each in section.get("index") or ():
        if not isinstance(each, dict) or "url" not in each or each.get("explicit"):
            continue  # an explicit one is for packages that a project names
        named = f"{each['name']}={each['url']}" if each.get("name") else str(each["url"])
        if each.get("default"):
            found.setdefault("UV_DEFAULT_INDEX", named)
        else:
            further.append(named)
    if further:
        found["UV_INDEX"] = " ".join(further)
    for key, name in _OF_UV_FILE.items():
        value = section.get(key)
        if value is not None:
            words = value if isinstance(value, list) else [value]
            told = " ".join(str(word).lower() if word is True else str(word) for word in words)
            if value is not False:
                found.setdefault(name, told)
    return found


def _pip_files() -> dict[str, str]:
    said = os.environ.get("PIP_CONFIG_FILE")
    own = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    usual = (Path("/etc/pip.conf"), Path("~/.pip/pip.conf").expanduser(), own / "pip/pip.conf")
    found = dict[str, str]()
    for path in (Path(said),) if said else usual:
        parser = configparser.RawConfigParser()
        try:
            parser.read_string(_text(path))
        except configparser.Error:
            continue
        if parser.has_section("global"):
            options = {key.replace("_", "-"): value for key, value in parser.items("global")}
            found |= {
                _OF_PIP[key]: " ".join(value.split())
                for key, value in options.items()
                if key in _OF_PIP
            }
    return found


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return ""


def _paths(words: Iterable[str]) -> Iterable[str]:
    """Files and folders that words name by their whole paths, or as `file:` addresses."""
    for word in words:
        place = word.partition("=")[2] if re.match(r"[\w.-]+=", word) else word
        if place.startswith("file:"):
            place = unquote(urlsplit(place).path)
        if place.startswith("/") and place.strip("/"):
            yield os.path.normpath(place)
