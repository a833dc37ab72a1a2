"""What a registry asks for before it answers (`WWW-Authenticate`), and the token that it is shown.

Sources: RFC 9110 section 11.6.1; https://distribution.github.io/distribution/spec/auth/token/.
"""

import re
from typing import Final
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from gatelodge.core.errors import UpstreamUnreachable

_LONGEST: Final = 4096
_SCHEME: Final = re.compile(r"\s*(?P<scheme>[A-Za-z0-9-]+)(?:\s+(?P<rest>.*))?", re.DOTALL)
_PART: Final = re.compile(r'([a-z_]+)\s*=\s*(?:"([^"\\]*)"|([^\s,"]+))')


class AuthChallenge(Struct, frozen=True):
    """The scheme in lower case, and what belongs to it."""

    scheme: str
    realm: str = ""
    service: str = ""


class _TokenAnswer(Struct):
    token: str = ""
    access_token: str = ""


def read_challenge(header: bytes) -> AuthChallenge:
    """The first challenge of a header; an empty one for what is none."""
    found = _SCHEME.fullmatch(header[:_LONGEST].decode("latin-1"))
    if found is None:
        return AuthChallenge("")
    parts: dict[str, str] = {}
    for name, quoted, plain in _PART.findall(found["rest"] or ""):
        parts.setdefault(name, quoted or plain)
    return AuthChallenge(found["scheme"].lower(), parts.get("realm", ""), parts.get("service", ""))


def token_url(challenge: AuthChallenge, repository: str) -> str:
    """Where a token is had that opens this repository for reading, and nothing else."""
    words = {"service": challenge.service} if challenge.service else {}
    query = urlencode({**words, "scope": f"repository:{repository}:pull"})
    return f"{challenge.realm}{'&' if '?' in challenge.realm else '?'}{query}"


def token_of_answer(body: bytes) -> str:
    """The token of a token service's answer. Raises UpstreamUnreachable."""
    try:
        said = msgspec.json.decode(body, type=_TokenAnswer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = _TokenAnswer()
    token = said.token or said.access_token
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise UpstreamUnreachable(
            "The token service of the registry answered without a token.",
            remedy="Tell whoever runs the registry.",
        )
    return token
