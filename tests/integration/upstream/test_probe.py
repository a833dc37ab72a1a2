"""What a server offers to some clients only is found by one look as a client that declares all."""

import json
import os
import sys

import pytest
from tests.upstreams.pools import HERE, ask, asker, call, names, ready, stdio, until

from gatelodge.adapters.upstream import probe

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
CHOOSY = str(HERE / "choosy_server.py")
EVERY = ["open", "form", "picture", "both"]
each_era = pytest.mark.parametrize("era", ["modern", "legacy"])


def choosy(speaks, folder, *more, **said):
    return stdio(command=(sys.executable, CHOOSY, speaks, str(folder), *more), **said)


@each_era
async def test_each_tool_is_seen_by_at_most_two_starts_however_often_it_is_looked_at(
    pool, tmp_path, era
):
    at = choosy(era, tmp_path, era=era)
    await ready(pool, at)
    for _ in range(3):
        observed = await pool.observe(at)
        assert names(observed) == EVERY
        assert observed.added == {"form", "picture", "both"}
    assert pool.health(at.id).detail == (
        "Offered only to clients that declare a capability: 3 of its tools."
    )
    assert len(list(tmp_path.glob("start-*"))) == (1 if era == "modern" else 2)


@each_era
async def test_a_server_is_looked_at_without_what_is_hidden_from_it(pool, tmp_path, era):
    at = choosy(era, tmp_path, hidden_capabilities=("elicitation", "roots"))
    await ready(pool, at)
    observed = await pool.observe(at)
    assert (names(observed), observed.added) == (["open", "picture"], {"picture"})
    assert not list(tmp_path.glob("answer-*"))


async def test_whoever_looks_is_asked_nothing_and_soon_gone(pool, tmp_path, monkeypatch):
    monkeypatch.setattr("gatelodge.adapters.upstream.server_connections.PROBE_SECONDS", 0.0)
    at = choosy("legacy", tmp_path)
    await ready(pool, at)
    await pool.observe(at)
    await until(lambda: pool.counts()["children"] == 1, "the copy is ended")
    answers = [json.loads(each.read_text()) for each in tmp_path.glob("answer-*")]
    assert answers
    assert all("error" in each for each in answers)
    assert names(await pool.observe(at)) == EVERY


async def test_a_session_that_looks_is_none_of_the_callers(pool, tmp_path):
    at = choosy("legacy", tmp_path)
    await ready(pool, at)
    await pool.observe(at)
    load = pool.load()[at.id]
    assert (load.sessions, load.children) == (0, 2)


async def test_a_member_reaches_such_a_tool_in_a_session_of_their_own(pool, tmp_path):
    at = choosy("legacy", tmp_path)
    await ready(pool, at)
    ann = asker("ann", elicitation={})
    assert b"form" in bytes((await ask(pool, at, call("form", asker=ann))).result)


async def test_a_server_that_runs_only_once_is_listed_as_all_see_it_and_looked_at_again(
    pool, tmp_path, monkeypatch
):
    monkeypatch.setattr(probe, "AGAIN_SECONDS", 0.0)
    at = choosy("legacy", tmp_path, "alone")
    heard = []
    pool.on_list_changed(heard.append)
    await ready(pool, at)
    observed = await pool.observe(at)
    assert (names(observed), observed.added) == (["open"], set())
    assert "could not be met as one" in pool.health(at.id).detail
    before = len(heard)
    await until(lambda: len(heard) > before, "it is looked at again")


async def test_a_look_while_the_server_is_away_forgets_nothing(pool, tmp_path):
    at = choosy("legacy", tmp_path)
    await ready(pool, at)
    whole = await pool.observe(at)
    os.kill(pool.health(at.id).pid, 9)
    await until(lambda: pool.health(at.id).state != "ready", "its end is noticed")
    assert await pool.observe(at) == whole


async def test_a_proposed_server_is_looked_at_whole(pool, tmp_path):
    observed = await pool.observe(choosy("legacy", tmp_path, status="proposed"))
    assert (names(observed), observed.added) == (EVERY, {*EVERY} - {"open"})
    assert pool.counts()["children"] == 0
