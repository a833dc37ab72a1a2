"""A change of a resource that a server tells several times is handed on once."""

import pytest
from tests.upstreams.pools import until

from gatelodge.adapters.upstream.pace import listeners
from gatelodge.adapters.upstream.pace.listeners import UpstreamListeners
from gatelodge.core.protocol.upstream import UPDATED
from gatelodge.ports.upstream import OnBehalfOf, SessionNotification

pytestmark = pytest.mark.anyio


class Heard:
    def __init__(self):
        self.all, self.own = [], []
        self.listeners = UpstreamListeners()
        self.listeners.updated.append(lambda server, uri: self.all.append((server, uri)))
        self.listeners.said.append(lambda said: bool(self.own.append(said)))

    def said(self, whose, uri="x:1", method=UPDATED):
        params = b'{"uri":"%b"}' % uri.encode()
        said = SessionNotification("srv", OnBehalfOf(whose, b'{"roots":{}}'), (), method, params)
        self.listeners.tell_said(said)
        return said

    async def told(self, count):
        await until(lambda: len(self.all) + len(self.own) >= count)


async def test_it_is_told_once_to_everybody_whatever_sessions_said_it_too():
    heard = Heard()
    heard.said("ann")
    for _ in range(3):
        heard.listeners.tell_updated("srv", "x:1")
    heard.said("bob")
    heard.listeners.tell_updated("srv", "x:2")
    await heard.told(2)
    assert (sorted(heard.all), heard.own) == ([("srv", "x:1"), ("srv", "x:2")], [])
    heard.listeners.tell_updated("srv", "x:1")
    await heard.told(3)
    assert heard.all[2:] == [("srv", "x:1")]


async def test_what_only_sessions_said_is_told_once_to_each_of_theirs():
    heard = Heard()
    told = [heard.said(whose) for whose in ("ann", "bob", "ann")]
    await heard.told(2)
    assert (heard.all, heard.own) == ([], told[:2])


async def test_what_takes_much_to_say_is_not_kept(monkeypatch):
    monkeypatch.setattr(listeners, "MOST_SAID", 20)
    heard = Heard()
    heard.listeners.tell_updated("srv", "x:" + "y" * 20)
    long = heard.said("ann", uri="x:" + "y" * 9)
    assert (len(heard.all), heard.own) == (1, [long])


async def test_more_than_is_waited_with_and_anything_else_is_told_at_once(monkeypatch):
    monkeypatch.setattr(listeners, "MOST_GATHERED", 1)
    heard = Heard()
    heard.listeners.tell_updated("srv", "x:1")
    heard.listeners.tell_updated("srv", "x:2")
    log = heard.said("ann", method="notifications/message")
    assert (heard.all, heard.own) == ([("srv", "x:2")], [log])
    await heard.told(3)
