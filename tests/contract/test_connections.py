"""What every connection to PostgreSQL has in common: it notices a lost peer, and it is closed."""

from urllib.parse import quote

import psycopg
import pytest
from tests.postgres import fresh_database

from gatelodge.adapters.journal.postgres import PostgresJournal
from gatelodge.adapters.ledger.lock import PostgresLeader
from gatelodge.adapters.store.database import open_database
from gatelodge.app.build import lay
from gatelodge.config.schema import Settings, StoreSettings

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

NOTICES = {"connect_timeout", "keepalives_idle", "keepalives_count", "tcp_user_timeout"}


@pytest.fixture
def connections(monkeypatch):
    """Every connection that is made, in order."""
    made, connect = [], psycopg.connect

    def connected(*given, **more):
        made.append(connect(*given, **more))
        return made[-1]

    monkeypatch.setattr(psycopg, "connect", connected)
    return made


async def test_every_connection_notices_a_lost_peer_and_a_statement_that_hangs(
    postgres_url, tmp_path, connections
):
    url = fresh_database(postgres_url)
    database = open_database(url, tmp_path)
    journal, leader = await PostgresJournal.open(url, "nod_1"), PostgresLeader(url)
    assert await leader.leads()
    opened = [each for each in connections if not each.closed]
    names = {each.info.get_parameters()["application_name"] for each in opened}
    assert names == {"gatelodge", "gatelodge journal", "gatelodge leader"}
    for each in opened:
        assert each.info.get_parameters().keys() >= NOTICES
        assert each.execute("SHOW statement_timeout").fetchone() != ("0",)
    await leader.resign()
    await journal.close()
    database.close()
    assert all(each.closed for each in connections)


UNGUARDED = (
    *("statement_timeout=0", "lock_timeout=0", "idle_in_transaction_session_timeout=0"),
    "synchronous_commit=off",
)
"""What an operator may not take away: a node that waits for ever would hold a lease for ever."""
OURS = {
    "gatelodge": ("30s", "10s", "1min", "on"),
    "gatelodge-watch": ("30s", "10s", "1min", "on"),
    "gatelodge journal": ("10s", "0", "0", "on"),
    "gatelodge leader": ("5s", "0", "0", "off"),
}
"""What holds all the same, in that order; of what is not ours the operator's word."""


def with_options(url: str, *options: str) -> str:
    """The URL of an operator who sets these parameters in it."""
    said = quote(" ".join(f"-c {each}" for each in options))
    return f"{url}{'&' if '?' in url else '?'}options={said}"


async def test_what_the_url_sets_holds_on_every_connection_but_for_what_guards_the_gate(
    postgres_url, tmp_path, connections
):
    url = with_options(fresh_database(postgres_url), "search_path=apart", *UNGUARDED)
    database = open_database(url, tmp_path)
    journal, leader = await PostgresJournal.open(url, "nod_1"), PostgresLeader(url)
    assert await leader.leads()
    with database.watch():
        opened = [each for each in connections if not each.closed]
        names = [each.info.get_parameters()["application_name"] for each in opened]
        assert {*names} == {*OURS}
        for name, each in zip(names, opened, strict=True):
            assert each.execute("SHOW search_path").fetchone() == ("apart",), name
            shown = [
                each.execute(f"SHOW {option.partition('=')[0]}").fetchone()[0]
                for option in UNGUARDED
            ]
            assert tuple(shown) == OURS[name], name
    await leader.resign()
    await journal.close()
    database.close()


async def test_a_gate_lives_in_the_schema_that_its_url_names(postgres_url, tmp_path):
    url = fresh_database(postgres_url)
    with psycopg.connect(url, autocommit=True) as operator:
        operator.execute("CREATE SCHEMA apart")
        store = StoreSettings(url=with_options(url, "search_path=apart"))
        ground = await lay(Settings(data_dir=str(tmp_path / "data"), store=store))
        await ground.recover()
        await ground.close()
        found = operator.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename IN ('pending', 'log')"
        )
        assert found.fetchall() == [("apart",)]


async def test_whoever_does_not_come_to_lead_leaves_no_connection_open(postgres_url, connections):
    url = fresh_database(postgres_url)
    one, two = PostgresLeader(url), PostgresLeader(url)
    assert await one.leads()
    assert not await two.leads()
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("CREATE SCHEMA ahead")
        other.execute(
            "CREATE FUNCTION ahead.pg_try_advisory_lock(bigint) RETURNS boolean"
            " LANGUAGE sql AS $$ SELECT 1 / 0 = 1 $$"
        )
        other.execute(f'ALTER DATABASE "{other.info.dbname}" SET search_path = ahead, pg_catalog')
    assert not await two.leads()
    await one.resign()
    assert all(each.closed for each in connections)
