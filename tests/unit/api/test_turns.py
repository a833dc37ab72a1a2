"""Large work beside the loop: one at a time, and nobody waits behind all that one person asks."""

from types import SimpleNamespace

import anyio
import pytest
from anyio import to_thread

from gatelodge.flows.activity.turns import ASKING, TurnsByPerson
from gatelodge.web.api.authentication import LOCAL_EXTENSION, AuthMiddleware

pytestmark = pytest.mark.anyio


class Work:
    """Work of several people; the first of it is held back until everybody waits."""

    def __init__(self):
        self.turns, self.order, self.at_once = TurnsByPerson(), [], 0
        self.held = anyio.Event()

    async def hold(self):
        async with self.turns:
            await self.held.wait()

    async def do(self, person):
        ASKING.set(person)
        await to_thread.run_sync(self._done, person, limiter=self.turns)

    def _done(self, person):
        self.at_once += 1
        self.order.append((person, self.at_once))
        self.at_once -= 1


async def test_each_person_comes_in_turn_however_many_of_one_wait():
    work = Work()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work.hold)
            await anyio.wait_all_tasks_blocked()
            for person in ("member",) * 20 + ("admin", "owner", "admin"):
                tasks.start_soon(work.do, person)
                await anyio.wait_all_tasks_blocked()
            work.held.set()
    people = [person for person, _ in work.order]
    assert people[:5] == ["member", "admin", "owner", "member", "admin"]
    assert people[5:] == ["member"] * 18
    assert {at_once for _, at_once in work.order} == {1}


async def test_the_door_says_for_whom_a_request_is():
    asked = []

    async def app(*_):
        asked.append(ASKING.get())

    door = AuthMiddleware(
        app,
        None,
        SimpleNamespace(origin_allowed=lambda _: True),
        SimpleNamespace(check=lambda *_: None),
        local=False,
    )
    for by in ("local:7", "local:8"):
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "state": {}}
        scope |= {
            "query_string": b"",
            "path_params": {},
            "extensions": {LOCAL_EXTENSION: {"by": by}},
        }
        await door({**scope, "route_handler": SimpleNamespace(opt={})}, None, None)
    assert asked == ["local:7", "local:8"]


async def test_who_gave_up_keeps_no_turn():
    work = Work()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(work.hold)
            await anyio.wait_all_tasks_blocked()
            async with anyio.create_task_group() as leaving:
                for person in ("member", "admin"):
                    leaving.start_soon(work.do, person)
                await anyio.wait_all_tasks_blocked()
                # One gives up while the turn that was just given is on its way to it.
                work.held.set()
                leaving.cancel_scope.cancel()
            await work.do("owner")
    assert [person for person, _ in work.order] == ["owner"]
