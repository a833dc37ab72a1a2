"""Who sent this request: from an Authorization header to a credential, without any wait."""

from collections.abc import Mapping
from typing import Literal, TypeVar

from gatelodge.core.records.origin import UNROUTED, calls_log
from gatelodge.core.tokens import well_formed
from gatelodge.core.view import PolicyView
from gatelodge.ports.world import TokenPeppers

T = TypeVar("T")

AuthFailure = Literal["missing", "scheme", "malformed", "unknown"]
"""missing: no header; scheme: not Bearer; malformed: wrong shape or checksum; unknown: never
issued, or no longer good."""


def authenticate(
    credentials: Mapping[str, T], peppers: TokenPeppers, header: bytes | None
) -> T | AuthFailure:
    """The credential behind `Bearer TOKEN` (RFC 6750 clause 2.1), or why there is none.

    `credentials` holds the good ones by digest; an expiry is for the caller to check. A token
    that was never issued costs as much as one that was: every digest is made before any is looked
    up, and equality of digests is decided by a dictionary, so no secret is compared bytewise.
    """
    if not header:
        return "missing"
    # The name of a scheme is read without regard to case (RFC 9110).
    if header[:7].lower() != b"bearer ":
        return "scheme"
    token = _token_of_header(header)
    # Shape and checksum tell a typing error from an unknown token before any digest is made.
    if token is None:
        return "malformed"
    return _credential_of_token(credentials, peppers, token) or "unknown"


def failure(
    view: PolicyView, peppers: TokenPeppers, header: bytes | None, reason: str, log: str
) -> tuple[str, str]:
    """Why a request was not let in, and whose old token it came with: the id of a credential.

    The id is empty where no credential of this log's workspace was ever behind the token; the log
    of unrouted requests takes those of every workspace. `ended` is a token that was good once.
    """
    token = None if header is None or header[:7].lower() != b"bearer " else _token_of_header(header)
    if token is None:
        return reason, ""
    good = _credential_of_token(view.credentials, peppers, token)
    known = good or _credential_of_token(view.former, peppers, token)
    # An auditor of this log may not see the other workspace whose token was tried here.
    if known is None or log not in (UNROUTED, calls_log(known.workspace)):
        return reason, ""
    return ("ended" if good is None and reason == "unknown" else reason), known.id


def _token_of_header(header: bytes) -> str | None:
    """The token behind `Bearer `, None when it has not the shape of one."""
    try:
        token = header[7:].strip(b" ").decode("ascii")
    except UnicodeDecodeError:
        return None
    return None if well_formed(token) is None else token


def _credential_of_token(
    credentials: Mapping[str, T], peppers: TokenPeppers, token: str
) -> T | None:
    found: T | None = None
    # The loop goes on behind a match: time must not tell under which pepper a token is good.
    for digest in peppers.digests(token):
        match = credentials.get(digest)
        if found is None:
            found = match
    return found
