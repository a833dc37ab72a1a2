"""What the operator says of places that artifacts are fetched from: own networks, and logins."""

import re
from typing import Final

from msgspec import Struct

from gatelodge.core.catalog.references import half_reference, reference
from gatelodge.core.errors import Invalid
from gatelodge.core.http.endpoint import read_url

_HOST: Final = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}(?::[0-9]{1,5})?")
_USER: Final = re.compile(r"[\x21-\x39\x3b\x3c\x3e-\x7e]{1,128}")
"""Printable, without the colon, which Basic has behind it, and the sign that ends it here."""
_HOW: Final = "Write HOST=USER=env:NAME or HOST=USER=file:/PATH, and HOST=env:NAME for a token."


class RegistryLogin(Struct, frozen=True):
    """Who the gate is at a registry; without a `user` the secret is a token by itself.

    `secret` is a reference: it is read when it is needed.
    """

    user: str
    secret: str


def read_login(text: str) -> tuple[str, RegistryLogin]:
    """The host, with its port where one is named, and who the gate is there. Raises Invalid."""
    host, _, rest = text.partition("=")
    user, secret = "", rest
    if reference(rest) is None:
        user, _, secret = rest.partition("=")
        if _USER.fullmatch(user) is None:
            raise Invalid("it has no name of a user", remedy=_HOW)
    found = reference(secret)
    known = found is not None and found.before == "" and found.scheme in ("env", "file")
    if _HOST.fullmatch(host) is None or not known or half_reference(secret):
        raise Invalid("it names no host, or no secret by reference", remedy=_HOW)
    return host, RegistryLogin(user, secret)


def read_origin(text: str) -> str:
    """An origin as URLs are compared by it. Raises Invalid for more or less than one."""
    origin = read_url(text, private=True, opens="").origin
    if text != origin:
        raise Invalid("it is no origin", remedy=f"Write {origin}.")
    return origin
