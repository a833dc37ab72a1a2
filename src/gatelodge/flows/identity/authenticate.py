"""Who sent this request: from an Authorization header to a credential, without any wait."""

from collections.abc import Mapping
from typing import Literal, TypeVar

from gatelodge.core.tokens import well_formed
from gatelodge.ports.world import Peppers

T = TypeVar("T")

AuthFailure = Literal["missing", "scheme", "malformed", "unknown"]
"""missing: no header; scheme: not Bearer; malformed: wrong shape or checksum; unknown: never
issued, or no longer good."""


def authenticate(
    credentials: Mapping[str, T], peppers: Peppers, header: bytes | None
) -> T | AuthFailure:
    """The credential behind `Bearer TOKEN` (RFC 6750 clause 2.1), or why there is none.

    `credentials` holds the good ones by digest; an expiry is for the caller to check. A token
    that was never issued costs as much as one that was: every digest is made before any is looked
    up, and equality of digests is decided by a dictionary, so no secret is compared bytewise.
    """
    if not header:
        return "missing"
    if header[:7].lower() != b"bearer ":
        return "scheme"
    try:
        token = header[7:].strip(b" ").decode("ascii")
    except UnicodeDecodeError:
        return "malformed"
    if well_formed(token) is None:
        return "malformed"
    found: T | None = None
    for digest in peppers.digests(token):
        match = credentials.get(digest)
        if found is None:
            found = match
    return "unknown" if found is None else found
