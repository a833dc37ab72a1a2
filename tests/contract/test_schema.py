"""The migrations make the schema that the code speaks of, on both engines."""

import errno
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, text
from tests.postgres import fresh_database

from gatelodge.adapters.ledger import tables as ledger
from gatelodge.adapters.ledger.search import tables as search
from gatelodge.adapters.store import copying
from gatelodge.adapters.store import tables as store
from gatelodge.adapters.store.copying import copy_sqlite
from gatelodge.adapters.store.database import open_database
from gatelodge.adapters.store.migrate import (
    HEAD,
    SCRIPTS,
    VERSION_TABLE,
    brought_up,
    migrate,
    version,
)
from gatelodge.adapters.store.rows import KEPT, structs_of
from gatelodge.core.catalog.server import Server, ServerTiming, Tool
from gatelodge.core.errors import Conflict, StoreDown
from gatelodge.core.people import Member


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request, tmp_path):
    postgres = request.param == "postgresql"
    url = fresh_database(request.getfixturevalue("postgres_url")) if postgres else ""
    opened = open_database(url, tmp_path)
    yield opened
    opened.close()


def everything() -> MetaData:
    whole = MetaData()
    assert search.metadata is ledger.metadata
    for part in (store.metadata, ledger.metadata):
        for table in part.tables.values():
            table.to_metadata(whole)
    return whole


def test_the_migrations_make_the_tables_of_the_store_and_of_the_ledger(database):
    assert migrate(database) is True
    with database.write() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "version_table": VERSION_TABLE}
        )
        assert compare_metadata(context, everything()) == []


def test_a_planted_difference_of_the_schema_is_seen(database):
    migrate(database)
    with database.write() as connection:
        connection.execute(text("ALTER TABLE members ADD COLUMN shoe_size BIGINT"))
        connection.execute(text("DROP INDEX bundle_last_at"))
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        differences = {step[0] for step in compare_metadata(context, everything())}
    assert differences == {"remove_column", "add_index"}


def test_columns_are_the_fields_of_the_structs_in_their_order():
    for noun, kept in KEPT.items():
        assert tuple(column.name for column in kept.table.columns) == noun.__struct_fields__


def test_a_database_is_migrated_once(database):
    assert migrate(database) is True
    with database.read() as connection:
        epoch = connection.execute(text("SELECT value FROM epoch")).scalar_one()
    assert migrate(database) is False
    with database.read() as connection:
        assert connection.execute(text("SELECT value FROM epoch")).scalar_one() == epoch


def test_a_database_of_the_first_version_is_brought_up_with_what_is_in_it(database):
    settings = Config(attributes={"connection": None, "version_table": VERSION_TABLE})
    settings.set_main_option("script_location", str(SCRIPTS))
    settings.set_main_option("recursive_version_locations", "true")
    with database.write() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")
        connection.execute(text("INSERT INTO workspaces VALUES ('wsp_1', 'main', 'Main', 1)"))
        member = "('mem_1', 'wsp_1', 'ann@x.test', 'Ann', 'member', 'left', 2, 1)"
        connection.execute(text(f"INSERT INTO members VALUES {member}"))
        transport = '{"type":"http","url":"https://x/mcp"}'
        row = "('srv_1', 'wsp_1', 'git', :transport, 'approved', 'auto', '[]', 1)"
        connection.execute(
            text(f"INSERT INTO servers VALUES {row}"),
            {"transport": transport},
        )
        for name, observed in (("pinned", "d1"), ("drifted", "d2")):
            values = f"('wsp_1', 'srv_1', '{name}', '{{}}', '{observed}', 'd1', 0, :no, :no, :no"
            connection.execute(
                text(f"INSERT INTO tools VALUES {values}, :yes, :no)"), {"no": False, "yes": True}
            )
    assert migrate(database) is False
    kept = KEPT[Server]
    with database.read() as connection:
        (found,) = structs_of(Server, connection.execute(kept.select).all())
    assert (found.alias, found.status, found.hidden_capabilities) == ("git", "approved", ())
    assert (found.revision, found.told) == (1, "")
    kept = KEPT[Member]
    with database.read() as connection:
        (ann,) = structs_of(Member, connection.execute(kept.select).all())
    assert (ann.email, ann.status) == ("ann@x.test", "revoked")
    kept = KEPT[Tool]
    with database.read() as connection:
        tools = structs_of(Tool, connection.execute(kept.select).all())
    assert [(tool.name, tool.pinned, tool.approved_definition) for tool in tools] == [
        ("drifted", False, ""),
        ("pinned", True, "{}"),
    ]
    assert found.timing == ServerTiming()


def of_first_version(database):
    settings = Config(attributes={"connection": None, "version_table": VERSION_TABLE})
    settings.set_main_option("script_location", str(SCRIPTS))
    settings.set_main_option("recursive_version_locations", "true")
    with database.write() as connection:
        settings.attributes["connection"] = connection
        command.upgrade(settings, "0001")


def add_workspace(database, name):
    with database.write() as connection:
        row = {"id": f"wsp_{name}", "slug": name}
        connection.execute(text("INSERT INTO workspaces VALUES (:id, :slug, 'W', 1)"), row)


def workspaces(file):
    with closing(sqlite3.connect(file)) as connection:
        return [slug for (slug,) in connection.execute("SELECT slug FROM workspaces ORDER BY slug")]


def test_the_way_back_from_an_upgrade_is_what_there_was_just_before_it(tmp_path, monkeypatch):
    database, copy = open_database("", tmp_path), tmp_path / "gatelodge.db.schema-0001"
    of_first_version(database)
    add_workspace(database, "before")

    def fails(*_):
        raise StoreDown("a step of the upgrade fails")

    with monkeypatch.context() as broken:
        broken.setattr(command, "upgrade", fails)
        with pytest.raises(StoreDown):
            brought_up(database, tmp_path, upgrade=True)
    assert workspaces(copy) == ["before"]
    add_workspace(database, "meanwhile")  # the older version went on
    brought_up(database, tmp_path, upgrade=True)
    assert workspaces(copy) == ["before", "meanwhile"]
    brought_up(database, tmp_path, upgrade=True)
    assert workspaces(copy) == ["before", "meanwhile"]
    database.close()


def test_a_copy_that_cannot_be_renewed_stays_whole_and_nothing_is_upgraded(tmp_path, monkeypatch):
    database, copy = open_database("", tmp_path), tmp_path / "gatelodge.db.schema-0001"
    of_first_version(database)
    copy_sqlite(tmp_path / "gatelodge.db", copy)
    add_workspace(database, "meanwhile")
    whole = copy.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(copying, "sync_path", full)
    with pytest.raises(StoreDown, match="cannot be copied"):
        brought_up(database, tmp_path, upgrade=True)
    assert copy.read_bytes() == whole
    with database.read() as connection:
        assert version(connection) == "0001"
    database.close()


def test_the_codes_head_is_the_newest_step():
    settings = Config()
    settings.set_main_option("script_location", str(SCRIPTS))
    settings.set_main_option("recursive_version_locations", "true")
    assert ScriptDirectory.from_config(settings).get_current_head() == HEAD


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database):
    migrate(database)
    with database.write() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(Conflict, match="9999"):
        migrate(database)
    with database.read() as connection:
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one()
    assert found == "9999"


def test_a_migrated_database_opens_without_alembic(tmp_path):
    first = open_database("", tmp_path)
    migrate(first)
    first.close()
    script = (
        "import sys; from pathlib import Path\n"
        "from gatelodge.adapters.store.database import open_database\n"
        "from gatelodge.adapters.store.migrate import migrate\n"
        "migrate(open_database('', Path(sys.argv[1])))\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('alembic', 'psycopg')])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert ran.stdout.strip() == "[]"


WRITTEN = [
    "INSERT INTO log VALUES ('gov', 'o', 'gov', 2, 'r', 0, NULL)",
    "INSERT INTO bundle VALUES ('gov', 0, 2, 'a', 'b', 'xxyy', 'o')",
    "INSERT INTO tile VALUES ('gov', 0, 0, 2, 'hhii')",
    "INSERT INTO checkpoint VALUES ('gov', 2, 'note')",
]


@pytest.mark.guarantee("audit:tamper-evident")
@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE bundle SET entries = 'xxzz'",
        "UPDATE bundle SET width = 1, entries = 'xx'",
        "UPDATE bundle SET n = 7",
        "DELETE FROM bundle",
        "UPDATE tile SET hashes = 'hhjj'",
        "UPDATE tile SET level = 1",
        "DELETE FROM tile",
        "UPDATE checkpoint SET note = 'other'",
        "DELETE FROM checkpoint",
        "UPDATE log SET size = 1",
        "UPDATE log SET origin = 'other'",
        "DELETE FROM log",
    ],
)
def test_what_a_log_has_written_cannot_be_edited_by_a_statement(database, edit):
    migrate(database)
    with database.write() as connection:
        for statement in WRITTEN:
            connection.execute(text(statement))
    with pytest.raises(StoreDown), database.write() as connection:
        connection.execute(text(edit))


def test_what_a_log_has_written_can_grow(database):
    migrate(database)
    with database.write() as connection:
        for statement in WRITTEN:
            connection.execute(text(statement))
        connection.execute(text("UPDATE log SET size = 3"))
        connection.execute(text("UPDATE bundle SET width = 3, entries = 'xxyyzz'"))
        connection.execute(text("UPDATE tile SET width = 3, hashes = 'hhiijj'"))
