"""The days of the gov log, for the slider that walks through them."""

from datetime import UTC, date, datetime, timedelta

from msgspec import Struct

from gatelodge.core.access.folded_rows import read_gov_leaf
from gatelodge.core.errors import Invalid
from gatelodge.core.ids import Instant
from gatelodge.core.instant import parse_rfc3339
from gatelodge.flows.audit.reading import gov_logs
from gatelodge.web.api.context import WorkspaceContext


class LogDays(Struct, frozen=True):
    """From the day on which the log began until today, both in UTC."""

    began: date
    today: date

    @property
    def last(self) -> int:
        """The number of today; the log began on day 0."""
        return (self.today - self.began).days

    def moment(self, text: str) -> str:
        """The beginning of the day of this number; empty for today, which is now. Raises Invalid.

        Of day 0 there is no beginning: the log was not there yet.
        """
        if not text:
            return ""
        if not text.isdecimal() or len(text) > 6:
            raise Invalid(f"day: {text!r} is no day of the log", remedy="Use the slider.")
        number = max(1, int(text))
        if number >= self.last:
            return ""
        return (self.began + timedelta(days=number)).isoformat()

    def day_of(self, at: Instant) -> int:
        """The number of the day that this moment is in."""
        return max(0, (_day(at) - self.began).days)


async def days_of_log(place: WorkspaceContext) -> LogDays:
    """The days that the gov log spans."""
    today = _day(place.gate.clock.now())
    ledger = place.gate.ledger
    for log in (await gov_logs(ledger))[:1]:
        for leaf in await ledger.leaves(log, 0, 1):
            began = _day(parse_rfc3339(read_gov_leaf(leaf.body).at))
            return LogDays(min(began, today), today)
    return LogDays(today, today)


def _day(at: Instant) -> date:
    return datetime.fromtimestamp(at // 1_000_000, UTC).date()
