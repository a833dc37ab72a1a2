"""An entry of the MCP registry API v0.1: how an approved server is called and described there."""

import re

from msgspec import Struct

from gatelodge.core.errors import Invalid

LONGEST_NAME = 200
LONGEST_DESCRIPTION = 100
LONGEST_VERSION = 255
_NAME = re.compile(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+")
_ADDRESS = re.compile(r"[0-9.]+|.*:.*")


class RegistryRemote(Struct, frozen=True, kw_only=True):
    """Where a client reaches the server: always at the gate, never at the server itself."""

    url: str
    type: str = "streamable-http"


class RegistryServer(Struct, frozen=True, kw_only=True):
    """What the field calls `server.json`, as far as the gate fills it."""

    name: str
    description: str
    version: str
    remotes: tuple[RegistryRemote, ...]


def registry_name(host: str, alias: str) -> str:
    """`tools.example.com` and `mail` are `com.example.tools/mail`; an address stays as it is.

    Raises Invalid for what would not be a name there: exactly one slash, 3 to 200 characters.
    """
    plain = host.strip("[]").lower()
    labels = [plain.replace(":", "-")] if _ADDRESS.fullmatch(plain) else plain.split(".")[::-1]
    name = f"{'.'.join(filter(None, labels))}/{alias}"
    if len(name) > LONGEST_NAME or _NAME.fullmatch(name) is None:
        raise Invalid("name: not one that the MCP registry API can say")
    return name


def registry_description(text: str, name: str) -> str:
    """One line of 1 to 100 characters; of an empty text, the name."""
    line = " ".join((text[: 8 * LONGEST_DESCRIPTION] or name).split()) or name
    if len(line) <= LONGEST_DESCRIPTION:
        return line
    return line[: LONGEST_DESCRIPTION - 1].rstrip() + "…"


def registry_version(version: str) -> str:
    """The version as it stands. Raises Invalid for an empty one, a long one, and `latest`."""
    if not version or len(version) > LONGEST_VERSION or version.lower() == "latest":
        raise Invalid("version: not one that the MCP registry API can say")
    return version
