"""A process with a pool of one stdio server: says the child's pid, then waits to be killed."""

import asyncio

from tests.upstreams.pools import make_pool, ready, stdio


async def main():
    pool = make_pool()
    at = stdio("modern")
    await ready(pool, at)
    print(pool.health(at.id).pid, flush=True)  # noqa: T201 - the one line that the test reads
    await asyncio.Event().wait()


asyncio.run(main())
