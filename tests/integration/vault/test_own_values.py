"""A secret that each has their own value of: whose instance is given which, and what ends it."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import text as text_of
from tests.fakes.world import CountedIds, StillClock
from tests.gov_log import open_gov_log
from tests.integration.nouns.declared import run
from tests.ledgers import new_database
from tests.upstreams.hosted import UnpackedRuntime, hosted
from tests.upstreams.pools import UPSTREAM, ask, asker, call, ready, text, until

from gatelodge.adapters.keys.vault.envelope import EnvelopeSealer
from gatelodge.adapters.keys.vault.resolver import ServerSecrets
from gatelodge.adapters.keys.vault.roots import LocalRoot
from gatelodge.adapters.store.store import SqlStore
from gatelodge.adapters.upstream.pool import UpstreamPool
from gatelodge.config.schema import LimitSettings
from gatelodge.core.errors import Invalid, KeyUnreachable, OwnSecretMissing, UpstreamUnreachable
from gatelodge.core.people import Workspace
from gatelodge.core.vault.secret import VaultSecret
from gatelodge.core.view import compile_view
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.vault import secrets, usage, values
from gatelodge.ports.upstream import OnBehalfOf

pytestmark = pytest.mark.anyio
ANN, BOB = asker("mem_ann"), asker("mem_bob")
CI = OnBehalfOf("agt_ci", person="mem_ann")
HERE = "wsp_1"
NEEDING = Path(__file__).parent / "needing_server.py"


class Vault:
    """A store with one workspace, its vault, and a pool that reads it."""

    def __init__(self, directory: Path) -> None:
        self.database = new_database(directory)
        self.store = SqlStore(self.database, open_gov_log(self.database), StillClock(), "nod_1")
        self.sealer = EnvelopeSealer(LocalRoot("file:", lambda: b"k" * 32))
        self.secrets = ServerSecrets(self.store, self.sealer)
        self.ids, self.runtime = CountedIds(), UnpackedRuntime()
        self.pool = UpstreamPool(
            secrets=self.secrets,
            limits=LimitSettings(),
            upstream=UPSTREAM,
            version="9.9",
            runtime=self.runtime,
        )
        self.watch = self.secrets.watcher(self.pool.leave)
        self.servers: tuple = ()

    async def do(self, change, *args):
        def work(tx):
            return run(
                GovernanceAct(tx=tx, by="local", at=StillClock().now(), ids=self.ids), change, *args
            )

        made, _ = await self.store.change(work)
        await self.see()
        return made

    async def put(self, name: str, mode: str, holder: str, value: str) -> None:
        place = values.ValuePlace(
            workspace=HERE,
            name=name,
            mode=mode,
            holder=holder,
            version=await self.next(name, holder),
        )
        parts = await self.sealer.seal(value, place.context)
        await self.do(values.put_value, place, parts, len(value))

    async def next(self, name: str, holder: str) -> int:
        def look(tx):
            found = tx.find(VaultSecret, workspace=HERE, name=name)
            before = values._value_rows(tx, HERE, found, holder)
            return before[0].version + 1 if before else 1

        return await self.store.read(look)

    async def see(self) -> None:
        """Do as a node does with each new view."""
        state = await self.store.load(None, None)
        self.watch(compile_view(replace(state, servers=self.servers), None, 48))
        await self.pool.reconcile(self.servers)

    async def close(self) -> None:
        await self.pool.close()
        await self.store.close()
        self.database.close()


@pytest.fixture
async def vault(tmp_path):
    made = Vault(tmp_path)
    workspace = Workspace(id=HERE, slug="a", name="a", created_at=1)

    def found(act):
        act.tx.put(workspace)
        act.record("workspace.created", HERE)

    await made.do(found)
    yield made
    await made.close()


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


async def serving(vault: Vault, **more):
    one = hosted(scope="per_user", env={"TOKEN": "vault:gh", "PLAIN": "x"}, **more)
    vault.servers = (one,)
    await ready(vault.pool, one)
    return one


async def given(vault: Vault, at, whose) -> str | None:
    """What the instance of somebody was given."""
    return text(await ask(vault.pool, at, call("environment", asker=whose))).get("TOKEN")


@pytest.mark.guarantee("secrets:stay-here")
async def test_each_is_given_their_own_value_and_the_look_nobodys(vault: Vault):
    await vault.do(secrets.declare, HERE, "gh", "member")
    await vault.put("gh", "member", "mem_ann", "of ann")
    await vault.put("gh", "member", "mem_bob", "of bob")
    one = await serving(vault)
    assert [await given(vault, one, each) for each in (ANN, BOB)] == ["of ann", "of bob"]
    told = {spec.owner: (spec.env.get("TOKEN"), spec.secrets) for spec in vault.runtime.specs}
    own = ("TOKEN:env:vault",)
    assert told == {"": (None, ()), "mem_ann": ("of ann", own), "mem_bob": ("of bob", own)}


async def test_who_has_no_value_is_told_how_to_set_one_and_starts_nothing(vault: Vault):
    await vault.do(secrets.declare, HERE, "gh", "member")
    await vault.put("gh", "member", "mem_ann", "of ann")
    one = await serving(vault)
    before = len(vault.runtime.specs)
    with pytest.raises(OwnSecretMissing, match="has no value for you yet") as told:
        await given(vault, one, BOB)
    assert told.value.remedy == "Set it: gatelodge secret set gh --mine"
    with pytest.raises(OwnSecretMissing, match="an agent has none"):
        await given(vault, one, CI)
    assert len(vault.runtime.specs) == before
    await vault.put("gh", "member", "mem_bob", "of bob")
    assert await given(vault, one, BOB) == "of bob"


async def test_an_agent_has_a_value_of_its_own_and_its_owner_none(vault: Vault):
    await vault.do(secrets.declare, HERE, "gh", "agent")
    await vault.put("gh", "agent", "agt_ci", "of ci")
    one = await serving(vault)
    assert await given(vault, one, CI) == "of ci"
    with pytest.raises(OwnSecretMissing, match="a member has none"):
        await given(vault, one, ANN)


async def test_a_new_value_of_ones_own_ends_ones_own_instance_alone(vault: Vault):
    await vault.do(secrets.declare, HERE, "gh", "member")
    await vault.put("gh", "member", "mem_ann", "first")
    await vault.put("gh", "member", "mem_bob", "of bob")
    one = await serving(vault)
    assert [await given(vault, one, each) for each in (ANN, BOB)] == ["first", "of bob"]
    started = len(vault.runtime.specs)
    await vault.put("gh", "member", "mem_ann", "second")
    assert await given(vault, one, ANN) == "second"
    assert await given(vault, one, BOB) == "of bob"
    assert [spec.owner for spec in vault.runtime.specs[started:]] == ["mem_ann"]


async def test_the_end_of_a_holder_erases_their_values_and_ends_what_was_started(vault: Vault):
    await vault.do(secrets.declare, HERE, "gh", "member")
    await vault.put("gh", "member", "mem_ann", "of ann")
    one = await serving(vault)
    await given(vault, one, ANN)
    await vault.do(values.erase_values_of, HERE, "mem_ann")
    await until(lambda: len(vault.runtime.instances()) == 1, "the look alone is left")
    with pytest.raises(OwnSecretMissing, match="has no value for you yet"):
        await given(vault, one, ANN)


async def test_a_look_is_given_a_value_where_an_admin_set_one_for_looks(vault: Vault):
    await vault.do(secrets.declare, HERE, "gh", "member")
    await vault.put("gh", "member", "", "of looks")
    one = await serving(vault)
    (look,) = vault.runtime.specs
    assert (look.owner, look.env["TOKEN"]) == ("", "of looks")
    with pytest.raises(OwnSecretMissing, match="has no value for you yet"):
        await given(vault, one, ANN)


async def test_a_look_that_fails_without_each_ones_own_tells_how_to_give_it_one(vault: Vault):
    await vault.do(secrets.declare, HERE, "gh", "member")
    needs = hosted(scope="per_user", script=NEEDING, env={"TOKEN": "vault:gh"})
    with pytest.raises(UpstreamUnreachable, match="exited with status 3") as told:
        await vault.pool.observe(needs)
    assert "gatelodge secret set gh --for-looks" in told.value.remedy
    fails = hosted("fails", scope="per_user", script=NEEDING, env={"PLAIN": "x"})
    with pytest.raises(UpstreamUnreachable, match="exited with status 3") as told:
        await vault.pool.observe(fails)
    assert "secret" not in told.value.remedy


@pytest.mark.parametrize("scope", ["shared", "per_user", "per_session"])
async def test_it_stands_in_hosted_servers_of_which_each_has_an_instance(vault: Vault, scope: str):
    made = await vault.do(secrets.declare, HERE, "gh", "member")
    server = hosted(scope=scope, env={"TOKEN": "Bearer vault:gh"})
    if scope != "shared":
        usage.check_mode(made, server.transport)
        return
    with pytest.raises(Invalid, match="is each member's own, and this server is shared by all"):
        usage.check_mode(made, server.transport)


@pytest.mark.guarantee("secrets:stay-here")
async def test_a_value_that_was_moved_to_another_holder_in_the_database_opens_nothing(vault: Vault):
    await vault.do(secrets.declare, HERE, "gh", "member")
    await vault.put("gh", "member", "mem_ann", "of ann")
    one = await serving(vault)
    with vault.database.write() as connection:
        connection.execute(text_of("UPDATE secret_values SET holder = 'mem_bob'"))
    before = len(vault.runtime.specs)
    with pytest.raises(UpstreamUnreachable):
        await given(vault, one, BOB)
    assert len(vault.runtime.specs) == before
    with pytest.raises(KeyUnreachable, match="was not wrapped under this key"):
        await vault.secrets.resolve_all({"A": "vault:gh"}, HERE, "mem_bob")
