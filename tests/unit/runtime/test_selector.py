"""What a definition asks for decides what runs it; what nothing offers is refused, never weaker."""

import asyncio

import pytest
from tests.fakes.runtimes import ScriptedRuntime

from gatelodge.adapters.runtime.selector import RuntimeSelector
from gatelodge.config.schema import HostingSettings
from gatelodge.core.errors import LaunchRefused, UpstreamUnreachable
from gatelodge.ports.runtime import LaunchSpec

IMAGE = "sha256:" + "a" * 64


@pytest.fixture
def anyio_backend():
    return "asyncio"


pytestmark = pytest.mark.anyio


class Machine:
    """A selector over scripted runtimes, and which of them were made."""

    def __init__(self, tiers, left=(), **settings):
        self.process = ScriptedRuntime()
        self.made = {}
        makers = {name: self._maker(name, offered) for name, offered in tiers.items()}
        checks = {name: lambda name=name: name in left for name in makers}
        made = HostingSettings(**settings)
        self.selector = RuntimeSelector(made, self.process, makers, checks)

    def _maker(self, name, offered):
        def make():
            assert name not in self.made
            self.made[name] = ScriptedRuntime(tiers=offered)
            return self.made[name]

        return make

    async def start(self, image=IMAGE, tier="weak"):
        spec = LaunchSpec(server="srv_a", command=(), env={}, image=image, tier=tier)
        return await self.selector.start(spec, asyncio.Protocol(), asyncio.Protocol())


BOTH = {"oci": ("standard", "strong"), "landlock": ("weak",)}


async def test_auto_takes_containers_where_they_start_and_loads_nothing_else():
    machine = Machine(BOTH)
    await machine.start()
    await machine.start(tier="strong")
    assert len(machine.made["oci"].started) == 2
    assert machine.made["oci"].probes == 1
    assert "landlock" not in machine.made


async def test_auto_takes_the_weaker_one_only_for_what_is_content_with_it():
    machine = Machine({**BOTH, "oci": ()})
    await machine.start(tier="weak")
    assert len(machine.made["landlock"].started) == 1
    with pytest.raises(UpstreamUnreachable, match=r"standard \(It is not there") as refused:
        await machine.start(tier="standard")
    assert "gatelodge doctor" in refused.value.remedy


async def test_a_named_runtime_is_never_replaced_by_another():
    machine = Machine({**BOTH, "docker": ()}, runtime="docker")
    with pytest.raises(UpstreamUnreachable):
        await machine.start()
    assert set(machine.made) == {"docker"}
    with pytest.raises(UpstreamUnreachable, match="kubernetes is not in this release"):
        await Machine(BOTH, runtime="kubernetes").start()


async def test_a_command_is_a_child_process_where_that_is_set_and_never_in_production():
    machine = Machine(BOTH, plain_commands="process")
    await machine.start(image="", tier="none")
    assert len(machine.process.started) == 1
    forbidden = Machine(BOTH, plain_commands="process", production=True)
    with pytest.raises(LaunchRefused, match=r"hosting\.production") as refused:
        await forbidden.start(image="", tier="none")
    assert "pypi:" in refused.value.remedy


async def test_a_command_is_kept_apart_unless_that_was_taken_back():
    for production in (False, True):
        machine = Machine(BOTH, production=production)
        await machine.start(image="", tier="none")
        assert len(machine.made["landlock"].started) == 1
        assert machine.process.started == []


async def test_many_who_ask_at_once_wait_for_one_trial():
    machine = Machine(BOTH)
    first = asyncio.create_task(machine.start())
    rest = [asyncio.create_task(machine.start()) for _ in range(20)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(*rest)
    assert machine.made["oci"].probes == 1


async def test_a_runtime_that_is_chosen_removes_what_was_left_before_anything_starts():
    machine = Machine({**BOTH, "docker": ("standard",)}, runtime="docker")
    machine.selector.keep(frozenset({"srv_a"}))
    assert machine.made["docker"].kept == [frozenset({"srv_a"})]


async def test_what_an_earlier_gate_left_is_removed_at_the_start_whatever_runs_servers_now():
    machine = Machine({**BOTH, "docker": ("standard",)}, left=("oci", "docker"))
    machine.selector.keep(frozenset())
    assert {name: made.kept for name, made in machine.made.items()} == {
        "oci": [frozenset()],
        "docker": [frozenset()],
    }
    assert [made.probes for made in machine.made.values()] == [0, 0]


async def test_where_nothing_was_left_no_runtime_is_loaded_before_it_is_needed():
    machine = Machine(BOTH)
    machine.selector.keep(frozenset())
    machine.selector.keep(frozenset({"srv_a"}))
    assert machine.made == {}


async def test_a_runtime_whose_package_is_not_installed_says_how_to_install_it():
    machine = Machine({**BOTH, "docker": ("standard",)}, runtime="docker")

    def fail():
        raise ModuleNotFoundError("no", name="aiodocker")

    machine.selector._makers["docker"] = fail
    machine.selector.keep(frozenset())
    with pytest.raises(UpstreamUnreachable, match="aiodocker"):
        await machine.start()
    offer, _weak = await machine.selector.offers()
    assert "gatelodge[docker]" in offer.gaps[0].remedy


async def test_what_is_kept_is_told_also_to_a_runtime_that_is_made_later():
    machine = Machine(BOTH)
    machine.selector.keep(frozenset({"srv_a"}))
    await machine.start()
    assert machine.process.kept == machine.made["oci"].kept == [frozenset({"srv_a"})]
    assert len(machine.selector.instances()) == 1
    await machine.selector.close()
