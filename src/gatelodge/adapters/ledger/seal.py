"""The head's seal: a MAC over each size and root that this house appended.

A checkpoint is signed once a second; what was appended since is vouched for by this. So a leaf that
somebody added who can write the database, but holds no key, is noticed by the next append, the next
start and the whole check, wherever it stands.
"""

import hmac
from hashlib import sha256

_DOMAIN = b"dev.gatelodge/head/v2"
"""Rises with the words of the records, so that a house of older ones is refused (decision 0021)."""


class HeadSeal:
    """Makes and checks seals under a key that is derived from the journal's."""

    def __init__(self, journal_key: bytes) -> None:
        self._key = hmac.digest(journal_key, _DOMAIN, sha256)

    def make(self, origin: str, size: int, root: bytes) -> bytes:
        """The seal of a head."""
        # The size is digits and the root has one length, so no two heads are spelled alike.
        said = b"%b\x00%d\x00%b" % (origin.encode(), size, root)
        return hmac.digest(self._key, said, sha256)

    def fits(self, origin: str, size: int, root: bytes, seal: bytes | None) -> bool:
        """True when this house appended up to there; an empty log needs no seal."""
        if not size:
            return True
        return seal is not None and hmac.compare_digest(self.make(origin, size, root), bytes(seal))
