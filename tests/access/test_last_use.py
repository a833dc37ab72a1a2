"""Which grants were used when last, and which were not: from the log of calls."""

from collections.abc import Iterator

import anyio
import msgspec
import pytest
from tests.gate import Gate
from tests.integration.admin_house import House, W, stub

from gatelodge.flows.audit import reading
from gatelodge.flows.past import last_use
from gatelodge.flows.past.last_use import LastUses
from gatelodge.ports.journal import LeafAt, LedgerHead, SealedOpening
from gatelodge.web.api.rules.unused import GrantUse, is_told

__all__ = ["stub"]
LOG = "calls:wsp_1"


class WrittenLog:
    """A calls log as far as this table reads one; `reads` counts the leaves that were read."""

    def __init__(self) -> None:
        self.told: list[LeafAt] = []
        self.reads = 0

    def call(self, day: int, grant: str, key: str = "dek_1", server: str = "srv_1") -> None:
        leaf = {
            "t": "call.intent",
            "at": f"2027-01-{day:02}T00:00:00Z",
            "rule": grant,
            "server": server,
        }
        opening = SealedOpening(key, b"", b"")
        self.told.append(LeafAt(len(self.told), msgspec.json.encode(leaf), opening))

    async def heads(self) -> tuple[LedgerHead, ...]:
        return (LedgerHead(LOG, "x", len(self.told), b""),)

    async def seek(self, log: str, at: str) -> int:
        times = [msgspec.json.decode(each.body)["at"] for each in self.told]
        return sum(each < at for each in times)

    async def leaves(self, log: str, start: int, stop: int) -> list[LeafAt]:
        self.reads += stop - start
        return self.told[start:stop]


def asked(uses: LastUses, log: WrittenLog, day: int) -> last_use.LogUse:
    since = f"2027-01-{day:02}T00:00:00Z"
    return anyio.run(uses.since, log, anyio.Lock(), LOG, since)


def test_the_table_follows_the_log_and_reads_no_leaf_twice() -> None:
    log, uses = WrittenLog(), LastUses()
    for day in range(1, 21):
        log.call(day, f"grn_{day % 3}")
    assert asked(uses, log, 11).grants.keys() == {"grn_0", "grn_1", "grn_2"}
    assert log.reads == 10
    log.call(21, "grn_9", "dek_2", "srv_2")
    found = asked(uses, log, 11)
    assert log.reads == 11
    assert (found.grants["grn_9"], found.servers["dek_2", "srv_2"]) == ("2027-01-21T00:00:00Z",) * 2
    assert found.reached == "2027-01-11T00:00:00Z"
    asked(uses, log, 1)
    assert log.reads == 21


def test_a_log_that_is_too_long_is_read_on_by_the_next_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(last_use, "MOST_READ", 4)
    monkeypatch.setattr(reading, "STEP", 2)
    log, uses = WrittenLog(), LastUses()
    for day in range(1, 11):
        log.call(day, "grn_1")
    assert [asked(uses, log, 1).reached[8:10] for _ in range(3)] == ["07", "03", "01"]


def test_a_log_that_was_replaced_is_read_anew() -> None:
    log, uses = WrittenLog(), LastUses()
    for day in range(1, 11):
        log.call(day, "grn_1")
    asked(uses, log, 1)
    log.told = []
    log.call(12, "grn_2")
    assert asked(uses, log, 1).grants.keys() == {"grn_2"}


def test_a_grant_is_unused_once_it_had_the_time_to_be_used() -> None:
    def grant(created: str, last: str = "") -> GrantUse:
        fields = dict.fromkeys(("grant", "to", "kind", "server", "tool", "level"), "")
        return GrantUse(**fields, created_at=created, last_used=last)

    old, young, used = grant("2026"), grant("2028"), grant("2026", "2028")
    assert [is_told(each, "2027", used=False) for each in (old, young, used)] == [
        True,
        False,
        False,
    ]
    assert [is_told(each, "2027", used=True) for each in (old, young, used)] == [True, False, True]
    assert is_told(grant("2025", "2026"), "2027", used=False)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with Gate(tmp_path_factory.mktemp("use") / "data").prepared().running() as gate:
        yield House(gate)


def test_a_grant_that_allowed_a_call_is_told_with_when(house: House, stub: str) -> None:
    grant = house.ok("POST", f"{W}/grants", {"everyone": True, "server": stub, "level": "all"})
    house.gate.client(house.gate.token).call("stub__echo", {"text": "x"})
    told = house.ok("GET", f"{W}/access/unused?days=1&used=true")
    assert told["whole"] is True
    (row,) = told["grants"]
    assert (row["grant"], row["to"], row["last_used"] > told["since"]) == (
        grant["id"],
        "everyone",
        True,
    )
    assert house.ok("GET", f"{W}/access/unused")["grants"] == []
    (*_, look) = house.ok("GET", f"{W}/audit/changes?type=audit.read&limit=1")["items"]
    assert look["subject"]["what"] == "unused"
    for role in ("admin", "member"):
        house.refused(403, "forbidden", "GET", f"{W}/access/unused", by=role)
    shown = house.gate.command("access", "unused", "--all")
    assert "everyone" in shown.stdout, shown
    assert (
        "No grant that was there by then is unused."
        in house.gate.command("access", "unused").stdout
    )
