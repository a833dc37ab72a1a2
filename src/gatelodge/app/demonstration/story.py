"""What happened in the demo's fortnight: who came and went, what was granted, stopped and ended.

Acts on days at work are counted from the first one (`_at`); the calls of a day are drawn from
their names and days. Each act goes through the gate's own API or endpoint.
Tickets begin with `demo/`, since they stand in the log for good.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any, Final

from msgspec import Struct

from gatelodge.app.demonstration.people import DemoPeople
from gatelodge.core.ids import Instant

DAYS: Final = 14
_WORKDAYS: Final = 5
_GUARDRAIL: Final = """@reason("agents do not commit on their own")
@advice("Ask a person of the group engineering.")
forbid (
  principal is Gatelodge::Agent,
  action == Gatelodge::Action::"call",
  resource == Gatelodge::Tool::"git/git_commit"
);
"""
_READS: Final = {
    "time": ("get_current_time", "convert_time"),
    "git": (
        "git_status",
        "git_diff_unstaged",
        "git_diff_staged",
        "git_diff",
        "git_log",
        "git_show",
    ),
    "memory": ("read_graph", "search_nodes", "open_nodes"),
    "filesystem": ("read_text_file", "list_directory", "search_files"),
}
"""Tools that were reviewed, and found to read only."""
_HARMLESS: Final = {"git": ("git_add", "git_commit", "git_branch"), "memory": ("create_entities",)}
"""Tools that were reviewed, and found to change what can be taken back."""
_HABITS: Final = {
    "alice": ("git__git_status", "git__git_log", "git__git_commit", "filesystem__read_text_file"),
    "bob": ("memory__search_nodes", "memory__create_entities", "everything__echo"),
    "chen": ("git__git_show", "git__git_add", "filesystem__list_directory"),
    "dan": ("git__git_status", "git__git_show", "filesystem__search_files"),
    "dora": ("memory__read_graph", "time__convert_time"),
    "fatima": ("git__git_log", "git__git_diff_staged", "time__get_current_time"),
    "gus": ("git__git_log", "time__get_current_time"),
    "ci": ("git__git_status", "git__git_log", "time__get_current_time"),
}
"""What each of them calls on a common day."""

_LAST: Final = {"dan": 5, "gus": 4}
"""The last day at work on which they call as usual."""
_MOVED: Final = {"chen": 5}
_AFTER_MOVE: Final = ("memory__read_graph", "memory__search_nodes", "time__get_current_time")


DemoDeed = Callable[..., Awaitable[Any]]


class DemoAct(Struct, frozen=True):
    """Something that happens at a moment."""

    at: Instant
    do: Callable[[], Awaitable[Any]]


class DemoFortnight:
    """The acts of the fortnight before a moment, in their order."""

    def __init__(self, people: DemoPeople, until: datetime) -> None:
        self._people = people
        self._until = until
        first = _first_day(until)
        days = [first + timedelta(days=each) for each in range(DAYS + 1)]
        self._days = days
        self._work = [day for day in days if day.weekday() < _WORKDAYS]
        self._acts: list[tuple[datetime, DemoDeed]] = []

    @staticmethod
    def begins_before(until: datetime) -> datetime:
        """When the house is founded, for a history up to then."""
        return _first_day(until) + timedelta(hours=7, minutes=30)

    def acts(self) -> list[DemoAct]:
        """All of it."""
        self._founding()
        self._first_week()
        self._second_week()
        self._calls()
        known = [each for each in self._acts if each[0] < self._until]
        known.sort(key=lambda each: each[0])
        return [DemoAct(instant_of(when), do) for when, do in known]

    def _at(self, day: int, clock: str, do: DemoDeed, *given: Any, **named: Any) -> None:
        """Something on a day at work, counted from 0."""
        hour, minute = map(int, clock.split(":"))
        moment = self._work[day] + timedelta(hours=hour, minutes=minute)
        self._acts.append((moment, partial(do, *given, **named)))

    def _founding(self) -> None:
        people, at = self._people, self._at
        at(0, "08:00", people.joins, "owner", "sana", "admin")
        at(0, "08:02", people.joins, "owner", "ravi", "security")
        at(0, "08:03", people.joins, "owner", "ines", "auditor")
        for minute, name in enumerate(("alice", "bob", "chen", "dan", "dora")):
            at(0, f"08:{10 + minute}", people.joins, "sana", name)
        at(0, "08:20", people.group, "engineering", "alice", "chen", "dan")
        at(0, "08:21", people.group, "support", "bob", "dora")
        at(0, "08:25", people.agent, "ci", "alice")
        for clock, alias in (
            ("09:00", "time"),
            ("09:10", "git"),
            ("09:25", "memory"),
            ("13:05", "filesystem"),
        ):
            reviewed = (_READS.get(alias, ()), _HARMLESS.get(alias, ()))
            at(0, clock, people.server, alias, *reviewed)
        at(0, "14:00", people.grant, "time", everyone=True, level="all")
        at(0, "14:01", people.grant, "git", group="engineering", level="all")
        at(0, "14:02", people.grant, "git", agent="ci", level="use")
        at(0, "14:03", people.grant, "filesystem", group="engineering", level="all")
        at(0, "14:04", people.grant, "memory", member="bob", level="all")
        at(0, "14:05", people.grant, "memory", group="support", level="read")

    def _first_week(self) -> None:
        people, at = self._people, self._at
        at(1, "09:30", people.server, "everything", (), ())
        at(1, "10:00", people.grant, "everything", member="bob", level="all")
        at(1, "11:15", people.blocks, "everything", "get-env", "SEC-3")
        # Somebody for some days: the grant ends by itself.
        at(2, "09:00", people.joins, "sana", "gus")
        at(2, "09:05", people.grant, "git", member="gus", level="read", days=3)
        at(2, "15:00", people.guardrail, "agents-do-not-commit", _GUARDRAIL)
        at(3, "10:10", people.calls, "ci", "git__git_commit")
        at(3, "10:12", people.calls, "ci", "git__git_commit")
        at(3, "11:40", people.calls, "dora", "git__git_log")
        at(4, "09:00", people.joins, "sana", "fatima")
        at(4, "09:04", people.moves, "fatima", into="engineering")
        at(4, "09:10", people.agent, "triage", "dora")
        at(4, "09:12", people.grant, "memory", agent="triage", level="read")
        at(4, "09:20", people.calls, "triage", "memory__search_nodes")
        at(4, "16:00", people.looks_into_audit, "SEC-3")

    def _second_week(self) -> None:
        people, at = self._people, self._at
        # A server says something else of a tool than what was approved: nobody may call it then.
        at(5, "09:00", people.drifts, "git", "git_diff")
        at(5, "09:20", people.calls, "alice", "git__git_diff")
        at(5, "09:25", people.calls, "chen", "git__git_diff")
        at(5, "10:30", people.approves_again, "git")
        at(5, "10:45", people.calls, "alice", "git__git_diff")
        at(5, "14:00", people.moves, "chen", out="engineering", into="support")
        at(5, "15:00", people.grant, "filesystem", member="dora", level="read", ticket="31")
        at(6, "16:30", people.leaves, "dan", "HR-12")
        at(6, "16:45", people.calls, "dan", "git__git_status")
        at(7, "10:00", people.revokes_grant, "dora", "filesystem", "OPS-31")
        at(7, "11:00", people.rests, "gus", "HR-15")
        at(8, "09:30", people.ends_agent, "triage", "SEC-9")
        at(8, "13:30", people.renews_token, "alice")
        at(9, "10:00", people.looks_into_audit, "HR-12")

    def _calls(self) -> None:
        """Common calls at office hours, and those of the agent every night."""
        for number, day in enumerate(self._days):
            night = day + timedelta(hours=2, minutes=10)
            for step, tool in enumerate(_HABITS["ci"] if number else ()):
                self._call_at(night + timedelta(seconds=20 * step), "ci", tool)
            if day.weekday() >= _WORKDAYS:
                continue
            worked = self._work.index(day)
            # On the first day nobody is granted anything before two o'clock.
            begins = day + timedelta(hours=10 if worked else 14, minutes=15)
            hours = 6 if worked else 3
            for name, tools in _HABITS.items():
                if name == "ci" or worked > _LAST.get(name, DAYS):
                    continue
                if worked > _MOVED.get(name, DAYS):
                    tools = _AFTER_MOVE  # noqa: PLW2901 - other habits in another group
                for count in range(2 + _drawn(5, name, number)):
                    moment = begins + timedelta(seconds=_drawn(hours * 3600, name, number, count))
                    self._call_at(moment, name, tools[_drawn(len(tools), number, name, count)])

    def _call_at(self, moment: datetime, name: str, tool: str) -> None:
        self._acts.append((moment, partial(self._people.calls, name, tool)))


def _first_day(until: datetime) -> datetime:
    return (until - timedelta(days=DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)


def _drawn(most: int, *about: object) -> int:
    """A number below `most` that looks like chance, and is the same for the same words."""
    return int.from_bytes(sha256(repr(about).encode()).digest()[:8]) % most


def moment_of(instant: Instant) -> datetime:
    """The instant as a moment in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)


def instant_of(moment: datetime) -> Instant:
    """The moment in microseconds UTC."""
    return Instant((moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
