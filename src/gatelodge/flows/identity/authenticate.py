"""Who sent this request: from an Authorization header to a good credential, without any wait.

Every face asks the one `TokenAuthenticator`, so that whose token is good is decided in one place.
"""

from collections.abc import Mapping
from typing import Literal, Protocol, TypeVar

from msgspec import Struct

from gatelodge.core.errors import Stale
from gatelodge.core.people import Credential
from gatelodge.core.records.origin import UNROUTED, calls_log
from gatelodge.core.tokens import well_formed
from gatelodge.core.view import PolicyView
from gatelodge.core.view_entry import CredentialEntry, PrincipalEntry
from gatelodge.flows.audit.recorder import RecordedCaller
from gatelodge.ports.world import Clock, TokenPeppers

T = TypeVar("T")

AuthFailure = Literal["missing", "scheme", "malformed", "unknown", "expired"]
"""missing: no header; scheme: not Bearer; malformed: wrong shape or checksum; unknown: never
issued, or no longer good."""


class ViewStanding(Protocol):
    """What this node knows now, and whether that is new enough to let anybody in (the follower)."""

    diverged: str

    @property
    def view(self) -> PolicyView:
        """The view in use."""
        ...

    def fresh(self) -> bool:
        """Say whether this node may act now."""
        ...


class AuthenticatedCaller(Struct, frozen=True):
    """A credential that is good now, and who holds it."""

    credential: CredentialEntry
    who: PrincipalEntry

    @property
    def recorded(self) -> RecordedCaller:
        """How they stand in a record."""
        return recorded_caller(self.who, self.credential)


class TokenAuthenticator:
    """Tells who holds the token of a request: by the view in use, while this node is fresh."""

    def __init__(self, standing: ViewStanding, peppers: TokenPeppers, clock: Clock) -> None:
        self._standing = standing
        self._peppers = peppers
        self._clock = clock

    def must_be_fresh(self) -> None:
        """Raise Stale while nobody may be let in.

        An old view still holds tokens that were revoked: a revoked one would look good.
        """
        standing = self._standing
        if not standing.fresh():
            why = standing.diverged or "this node cannot prove that its view is fresh"
            raise Stale(why, retry_after=1.0)

    def authenticate(self, header: bytes | None) -> AuthenticatedCaller | AuthFailure:
        """Who sent `Bearer TOKEN` (RFC 6750 clause 2.1), or why nobody is known. Raises Stale."""
        self.must_be_fresh()
        view = self._standing.view
        found = credential_of_header(view.credentials, self._peppers, header)
        if isinstance(found, str):
            return found
        # No view is made anew when a token expires, so the clock is asked each time.
        if found.expires_at <= self._clock.now():
            return "expired"
        return AuthenticatedCaller(found, view.principals[found.principal])

    def recorded_failure(self, header: bytes | None, reason: str, log: str) -> tuple[str, str]:
        """Why a request was not let in, and whose old token it came with: the id of a credential.

        The id is empty where no credential of this log's workspace was ever behind the token; the
        log of unrouted requests takes those of every workspace. `ended` is a token that was good
        once.
        """
        view = self._standing.view
        good = credential_of_header(view.credentials, self._peppers, header)
        known: CredentialEntry | Credential | AuthFailure = good
        if isinstance(good, str):
            known = credential_of_header(view.former, self._peppers, header)
        # An auditor of this log may not see the other workspace whose token was tried here.
        if isinstance(known, str) or log not in (UNROUTED, calls_log(known.workspace)):
            return reason, ""
        ended = isinstance(good, str) and reason == "unknown"
        return ("ended" if ended else reason), known.id


def recorded_caller(
    who: PrincipalEntry, credential: CredentialEntry, client: str = ""
) -> RecordedCaller:
    """Who is recorded: the principal, and the member who answers for it."""
    agent = "" if who.owner is None else who.id
    return RecordedCaller(who.id, who.person, agent, credential.id, client)


def credential_of_header(
    credentials: Mapping[str, T], peppers: TokenPeppers, header: bytes | None
) -> T | AuthFailure:
    """The credential behind a header, or why there is none; `credentials` holds them by digest.

    A token that was never issued costs as much as one that was: every digest is made before any is
    looked up, and equality of digests is decided by a dictionary, so no secret is compared
    bytewise.
    """
    if not header:
        return "missing"
    # The name of a scheme is read without regard to case (RFC 9110).
    if header[:7].lower() != b"bearer ":
        return "scheme"
    token = header[7:].strip(b" ").decode("latin-1")
    # Shape and checksum tell a typing error from an unknown token before any digest is made.
    if well_formed(token) is None:
        return "malformed"
    found: T | None = None
    # The loop goes on behind a match: time must not tell under which pepper a token is good.
    for digest in peppers.digests(token):
        match = credentials.get(digest)
        if found is None:
            found = match
    return found or "unknown"
