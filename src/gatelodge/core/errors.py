"""The one error tree: what went wrong, whose fault it is, and what to do next.

Each class carries a `code` that extends its parent's, so that a caller may match a whole branch
by prefix. `detail` and `remedy` are safe to show to whoever made the request: they never hold a
payload, a secret or another workspace's names. Errors are rendered in two places only, the web
face and the command line. A denied call is not an error here but a value (`core.policy.decision`).
"""

from collections.abc import Callable, Iterator
from typing import ClassVar, Self

_MOST_NAMES = 5
"""Types that are named of a group."""


def _not_at_all() -> bool:
    """A record that was refused stands nowhere."""
    return False


class HouseError(Exception):
    """Something this house knows how to name; `code` says what, `remedy` what to do next."""

    code: ClassVar[str] = "error"
    default_remedy: ClassVar[str] = ""

    def __init__(self, detail: str, *, remedy: str = "", retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.remedy = remedy or self.default_remedy
        self.retry_after = retry_after
        self.said: tuple[str, ...] = ()
        """The last words of a server that was not met; for whoever may start it, never logged."""
        self.final = False
        """True when a server refused, so that the same request would be refused again."""

    def again(self) -> Self:
        """The same error once more: an exception that was raised is not raised twice."""
        # Raised by several callers, one object would gather the tracebacks and contexts of all.
        same = type(self)(self.detail, remedy=self.remedy, retry_after=self.retry_after)
        same.said, same.final = self.said, self.final
        return same


class Refused(HouseError):
    """The caller must change something before it can work."""

    code = "error.refused"


class Unauthenticated(Refused):
    """No credential, or one that is unknown, expired or revoked."""

    code = "error.refused.unauthenticated"
    default_remedy = "Send a valid token as 'Authorization: Bearer ...'."


class Forbidden(Refused):
    """The caller is known but may not do this."""

    code = "error.refused.forbidden"
    default_remedy = "Ask an owner of the workspace."


class NotFound(Refused):
    """No such thing, or none that the caller may see."""

    code = "error.refused.not_found"


class Invalid(Refused):
    """The input is malformed; `detail` names the place."""

    code = "error.refused.invalid"


class Conflict(Refused):
    """It clashes with what is already there."""

    code = "error.refused.conflict"


class LimitReached(Refused):
    """A size, count or rate limit was reached."""

    code = "error.refused.limit"


class UpstreamError(HouseError):
    """A server behind the gate failed: neither our fault nor the caller's."""

    code = "error.upstream"


class UpstreamUnreachable(UpstreamError):
    """The upstream server could not be reached or started."""

    code = "error.upstream.unreachable"
    default_remedy = "Try again later; an admin sees the reason with `gatelodge server show`."


class LaunchRefused(UpstreamError):
    """This gate starts no server as it is described: by its settings, or by what it would show."""

    code = "error.upstream.launch_refused"


class OwnSecretMissing(UpstreamError):
    """A server wants a secret of each caller's own, and the vault has none of this one."""

    code = "error.upstream.own_secret"
    default_remedy = "Set it: gatelodge secret set NAME --mine"


class UpstreamTimeout(UpstreamError):
    """The upstream server did not answer in time."""

    code = "error.upstream.timeout"
    default_remedy = "Try again; an admin can give it longer: server edit ALIAS --call-seconds N."


class UpstreamBrokeProtocol(UpstreamError):
    """The upstream server answered something that is not MCP, or closed in the middle."""

    code = "error.upstream.protocol"
    default_remedy = "Tell the server's author; the call may have had an effect."


class Unavailable(HouseError):
    """We cannot do it now; calls fail closed."""

    code = "error.unavailable"


class StoreDown(Unavailable):
    """The governance store cannot be reached."""

    code = "error.unavailable.store"
    default_remedy = "Check the database; the gate refuses calls until it is back."


class LedgerDown(Unavailable):
    """A record could not be made durable, so nothing was forwarded."""

    code = "error.unavailable.ledger"
    default_remedy = "Make room on the disk or mend it; the gate goes on by itself."

    def __init__(self, detail: str, *, remedy: str = "", retry_after: float | None = None) -> None:
        super().__init__(detail, remedy=remedy, retry_after=retry_after)
        self.landed: Callable[[], bool | None] = _not_at_all
        """Says whether the record stands in the log after all; None while that is not known."""


class Stale(Unavailable):
    """This node cannot prove that its view is fresh."""

    code = "error.unavailable.stale"
    default_remedy = "Try again in a second."


class KeyUnreachable(Unavailable):
    """A key or secret reference could not be read."""

    code = "error.unavailable.key"


class GateUnreachable(Unavailable):
    """The gate's admin API did not answer a command."""

    code = "error.unavailable.gate"
    default_remedy = "Check --url and that the gate is running (`gatelodge up`)."


class OutsideFailed(Unavailable):
    """A service outside, which the gate itself has to ask, was not reached or gave no good answer.

    `detail` names no path, no query and no header's value: each may hold a secret.
    """

    code = "error.unavailable.outside"
    default_remedy = "Check the address that the settings name, and whether it answers."


class NotYet(Unavailable):
    """Work that this node does behind its calls is late, or fails for now."""

    code = "error.unavailable.not_yet"
    default_remedy = "Try again in a few seconds; `gatelodge doctor` tells what fails."


class Broken(HouseError):
    """An invariant is gone; the process stops and an operator decides."""

    code = "error.broken"


class LogForked(Broken):
    """The log disagrees with a checkpoint that this house signed."""

    code = "error.broken.log_forked"
    default_remedy = "Repair nothing by hand: run `gatelodge audit fsck`, read docs/operations.md."


class KeyMismatch(Broken):
    """A key on disk is not the key that the state was made with."""

    code = "error.broken.key_mismatch"
    default_remedy = "Restore the keys directory that belongs to this database."


class JobBroken(Broken):
    """A job died, or what was kept of it is not what the gate kept."""

    code = "error.broken.job"
    default_remedy = "Look at the log of the gate, and start the job anew."


class SettingsError(HouseError):
    """The settings are wrong; all faults were gathered before this was raised."""

    code = "error.settings"

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("; ".join(faults), remedy="See docs/reference/settings.md.")
        self.faults = faults


def fault_leaves(fault: BaseException) -> Iterator[BaseException]:
    """The exceptions in it that are no group, however deep they stand."""
    if isinstance(fault, BaseExceptionGroup):
        for each in fault.exceptions:
            yield from fault_leaves(each)
    else:
        yield fault


def name_of_fault(fault: BaseException) -> str:
    """Its type; of a group the types in it. Never words, which may hold what somebody sent."""
    names = dict.fromkeys(type(each).__name__ for each in fault_leaves(fault))
    return ", ".join(list(names)[:_MOST_NAMES])
