"""What a server offers to some clients only is found by looking as each of them."""

import json
import os
import sys

import pytest
from tests.upstreams import pools
from tests.upstreams.pools import HERE, ask, asker, call, make_pool, names, ready, stdio, until

from gatelodge.adapters.upstream import probe
from gatelodge.core.protocol.capabilities import APPS
from gatelodge.core.protocol.needs import ALONE, lacking, required, suffices

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
CHOOSY = str(HERE / "choosy_server.py")
EVERY = ["open", "form", "picture", "both"]
FORMS = frozenset({"elicitation.form", "elicitation.url"})
each_era = pytest.mark.parametrize("era", ["modern", "legacy"])


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def pool():
    made = make_pool()
    yield made
    await made.close()
    assert made.counts() == {"calls": 0, "connections": 0, "children": 0, "tasks": 0}


def choosy(era, folder, *more):
    return stdio(command=(sys.executable, CHOOSY, era, str(folder), *more))


@each_era
async def test_each_tool_is_seen_and_so_is_what_it_needs(pool, tmp_path, era):
    at = choosy(era, tmp_path)
    await ready(pool, at)
    observed = await pool.observe(at)
    assert names(observed) == EVERY
    assert observed.needs == {"form": FORMS, "picture": {APPS}, "both": frozenset(ALONE)}
    assert pool.health(at.id).detail == (
        "Offered only to clients that declare a capability: 3 of its tools."
    )


async def test_whoever_looks_is_asked_nothing_and_soon_gone(pool, tmp_path, monkeypatch):
    monkeypatch.setattr("gatelodge.adapters.upstream.server_connections.SURVEY_SECONDS", 0.0)
    at = choosy("legacy", tmp_path)
    await ready(pool, at)
    await pool.observe(at)
    await until(lambda: pool.counts()["children"] == 1, "the copies are ended")
    answers = [json.loads(each.read_text()) for each in tmp_path.glob("answer-*")]
    assert answers
    assert all("error" in each for each in answers)


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
    assert (names(observed), observed.needs) == (["open"], {})
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


@pytest.mark.parametrize("name", ALONE)
def test_a_client_that_declares_a_capability_has_what_it_suffices_for(name):
    assert suffices(frozenset({name}), ALONE[name])
    assert not suffices(frozenset({name}), b"{}")
    assert suffices(frozenset(), b"{}")
    assert name in lacking(frozenset({name}))
    told = json.loads(required(frozenset({name})))
    assert told == {"requiredCapabilities": json.loads(ALONE[name])}


async def test_a_proposed_server_is_looked_at_whole(pool, tmp_path):
    observed = await pool.observe(pools.stdio(
        command=(sys.executable, CHOOSY, "legacy", str(tmp_path)), status="proposed"
    ))  # fmt: skip
    assert (names(observed), observed.needs) == (EVERY, {})
    assert pool.counts()["children"] == 0
