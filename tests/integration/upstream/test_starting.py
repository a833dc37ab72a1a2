"""How processes of servers start: why one does not, what it keeps, and how often for one person."""

import contextlib
from pathlib import Path

import pytest
from msgspec import structs
from tests.upstreams import pools
from tests.upstreams.pools import ask, asker, asking, call, make_pool, ready, stdio, text

from gatelodge.adapters.keys.secret_refs import SecretRefs
from gatelodge.config.schema import HostingSettings, UpstreamSettings
from gatelodge.core.errors import HouseError, LimitReached, UpstreamTimeout, UpstreamUnreachable

pytestmark = pytest.mark.anyio

UNRULY = str(Path(pools.HERE) / "asking" / "unruly.py")
DEBIAN = "/usr/bin/python3"


def unruly(*words, **fields):
    return stdio(command=(DEBIAN, UNRULY, *map(str, words)), era="legacy", **fields)


async def test_the_last_words_before_the_handshake_are_told_without_secrets():
    pool = make_pool(pools.Secrets(TOKEN="s3cret-value"))
    at = unruly("fails", env={"TOKEN": "env:TOKEN"})
    with pytest.raises(UpstreamUnreachable) as failed:
        await pool.observe(at)
    said = failed.value.said
    assert "stderr: npm error 404 Not Found - GET [secret]" in said
    assert any(line.startswith("stdout: not MCP red\\u0007 token=[secret]") for line in said)
    assert "s3cret" not in failed.value.detail
    assert "name and version" in failed.value.remedy
    assert (pool.health(at.id).state, pool.health(at.id).said) == ("off", said)
    await pool.reconcile((at,))
    await pools.until(lambda: pool.health(at.id).said, "told")
    assert pool.health(at.id).said == said
    with pytest.raises(HouseError) as away:
        await ask(pool, at, call("where"))
    assert away.value.said == ()  # whoever calls a tool is not told
    await pool.close()


async def test_a_secret_is_masked_without_the_word_that_stands_before_it(monkeypatch):
    monkeypatch.setenv("SECRET_OF_A_TEST", "s3cret-value")
    pool = make_pool(SecretRefs())
    with pytest.raises(UpstreamUnreachable) as failed:
        await pool.observe(unruly("fails", env={"TOKEN": "Bearer env:SECRET_OF_A_TEST"}))
    assert "stderr: npm error 404 Not Found - GET Bearer [secret]" in failed.value.said
    assert "stderr: refused: [secret]" in failed.value.said
    await pool.close()


async def test_after_the_handshake_nothing_of_it_is_kept():
    pool = make_pool()
    at = stdio("legacy")
    await pools.ready(pool, at)
    with pytest.raises(HouseError):
        await ask(pool, at, call("die"))
    assert pool.health(at.id).said == ()
    await pool.close()


@pytest.mark.slow
async def test_a_server_that_needs_three_starts_to_fetch_is_met_then_and_fetches_once(tmp_path):
    log = tmp_path / "fetched"
    soon, hosting = UpstreamSettings(start_seconds=1.3), HostingSettings(stop_seconds=0.2)
    pool = make_pool(upstream=soon, hosting=hosting, caches=tmp_path / "caches")
    at = unruly("fetch", 4, log, status="proposed")
    with pytest.raises(UpstreamTimeout) as slow:
        await pool.observe(at)
    assert any(line.startswith("stderr: fetching") for line in slow.value.said)
    with contextlib.suppress(UpstreamTimeout):
        await pool.observe(at)
    await pool.observe(at)
    await pool.observe(at)
    assert log.read_text().split() == ["0", "1", "2", "3"]
    cache = tmp_path / "caches" / at.id
    assert cache.is_dir()
    await pool.reconcile((at,))
    assert cache.is_dir()  # known, though not approved
    await pool.reconcile(())
    await pools.until(lambda: not cache.exists(), "removed with the server")
    await pool.close()


async def test_a_program_that_is_not_there_is_told_with_where_it_was_looked_for():
    pool = make_pool(hosting=HostingSettings(path="/usr/bin:/nowhere"))
    with pytest.raises(UpstreamUnreachable) as absent:
        await pool.observe(stdio(command=("no-such-program",)))
    assert "/usr/bin:/nowhere" in absent.value.detail
    assert "hosting.path" in absent.value.remedy
    await pool.close()


CLIENTS = ({"elicitation": {}}, {"roots": {}}, {"elicitation": {}, "roots": {}})


async def test_a_person_who_had_so_many_processes_started_waits_and_others_do_not():
    often = structs.replace(pools.UPSTREAM, starts_per_minute=2)
    pool, at, bot = make_pool(upstream=often), asking(), asker("bot", **CLIENTS[0])

    async def echo(who, can):
        return text(await ask(pool, at, call("echo", {"n": 1}, asker=asker(who, **can))))

    try:
        await ready(pool, at)
        for can in CLIENTS[:2]:
            assert await echo("ann", can)
        with pytest.raises(LimitReached) as refused:
            await echo("ann", CLIENTS[2])
        assert refused.value.retry_after > 0
        with pytest.raises(LimitReached):  # an agent's starts are its owner's
            await ask(pool, at, call("echo", {}, asker=structs.replace(bot, person="ann")))
        assert await echo("ann", CLIENTS[0]), "what was started goes on serving"
        assert await echo("bob", CLIENTS[2])
    finally:
        await pool.close()
