"""What is started is what the approved definition says, with its secrets filled in, and no more."""

import pytest
from tests.upstreams.pools import Secrets

from gatelodge.adapters.upstream.stdio.launch import hidden_values, launch_spec
from gatelodge.core.catalog.server import StdioTransport
from gatelodge.core.errors import KeyUnreachable, UpstreamUnreachable
from gatelodge.ports.runtime import LaunchSpec
from gatelodge.ports.upstream import NOBODY

pytestmark = pytest.mark.anyio


@pytest.mark.guarantee("secrets:stay-here")
async def test_each_field_comes_from_the_definition(monkeypatch):
    monkeypatch.setenv("CANARY_SECRET", "of the gate")
    transport = StdioTransport(
        command=("server", "--flag"), env={"TOKEN": "env:TOKEN", "PLAIN": "1"}, cwd="/srv"
    )
    spec = await launch_spec("srv_a", "wsp_a", NOBODY, transport, Secrets(TOKEN="s3cret-value"))
    assert spec == LaunchSpec(
        server="srv_a",
        workspace="wsp_a",
        command=("server", "--flag"),
        env={"TOKEN": "s3cret-value", "PLAIN": "1"},
        cwd="/srv",
        own_uid=True,
        secrets=("TOKEN:env:env",),
    )
    assert hidden_values(transport, spec) == ("s3cret-value",)


async def test_the_gates_own_uid_is_an_admins_word():
    transport = StdioTransport(command=("server",), run_as="gateway")
    assert not (await launch_spec("srv_a", "wsp_a", NOBODY, transport, Secrets())).own_uid


async def test_a_secret_that_cannot_be_read_or_used_starts_nothing():
    transport = StdioTransport(command=("server",), env={"TOKEN": "env:TOKEN"})
    with pytest.raises(KeyUnreachable):
        await launch_spec("srv_a", "wsp_a", NOBODY, transport, Secrets())
    with pytest.raises(UpstreamUnreachable, match="cannot be used"):
        await launch_spec("srv_a", "wsp_a", NOBODY, transport, Secrets(TOKEN="a\0b"))
