"""How often one person has processes of a server started for them, by the pool that starts them."""

import msgspec
import pytest
from tests.upstreams.pools import UPSTREAM, ask, asker, asking, call, make_pool, ready, text

from gatelodge.core.errors import LimitReached

pytestmark = pytest.mark.anyio
CLIENTS = ({"elicitation": {}}, {"roots": {}}, {"elicitation": {}, "roots": {}})


async def test_a_person_who_had_so_many_processes_started_waits_and_others_do_not():
    often = msgspec.structs.replace(UPSTREAM, starts_per_minute=2)
    pool, at = make_pool(upstream=often), asking()

    async def echo(who, can):
        return text(await ask(pool, at, call("echo", {"n": 1}, asker=asker(who, **can))))

    try:
        await ready(pool, at)
        for can in CLIENTS[:2]:
            assert await echo("ann", can)
        with pytest.raises(LimitReached) as refused:
            await echo("ann", CLIENTS[2])
        assert refused.value.retry_after > 0
        assert await echo("ann", CLIENTS[0]), "what was started goes on serving"
        assert await echo("bob", CLIENTS[2])
    finally:
        await pool.close()
