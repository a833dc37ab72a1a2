"""Nothing that is hosted gets a byte before it was judged and written down, and its end is too."""

import asyncio
import json

import pytest
from msgspec import structs
from tests.fakes.runtimes import STANDARD, ScriptedRuntime
from tests.fakes.world import CountedIds, StillClock
from tests.upstreams.pools import until

from gatelodge.config.schema import HostingSettings
from gatelodge.core.errors import HouseError, LedgerDown, LimitReached, UpstreamUnreachable
from gatelodge.core.hosting.facts import IsolationFacts
from gatelodge.flows.audit.recorder import AuditRecorder
from gatelodge.flows.hosting.recorded_runtime import RecordedRuntime
from gatelodge.ports.journal import record_landed, record_refused
from gatelodge.ports.runtime import EgressEvent, LaunchSpec

IMAGE = "sha256:" + "a" * 64


class HeldJournal:
    """A journal whose records become durable when a test says so."""

    def __init__(self):
        self.failed = False
        self.bodies = []
        self.waiting = []
        self.held = False

    def append(self, entry, durable):
        self.bodies.append((entry.log, json.loads(entry.body)))
        if durable is not None:
            self.waiting.append(durable)
            if not self.held:
                self.release()

    def release(self):
        for each in self.waiting:
            record_landed(each)
        self.waiting.clear()

    def refuse(self):
        for each in self.waiting:
            record_refused(each, LedgerDown("no room"))
        self.waiting.clear()

    @property
    def words(self):
        return [body["t"] for _, body in self.bodies]


class OpenKeys:
    """Everybody's data key is there once it was asked for."""

    def __init__(self):
        self.asked = []

    async def ensure(self, member):
        self.asked.append(member)
        return self

    id = "dek_1"

    def seal(self, _nonce, _plain, _associated):
        return b""

    def current(self, member):
        return self if member in self.asked else None


class Hosting:
    """The parts around the gate."""

    def __init__(self, facts=STANDARD, below=None, **settings):
        self.journal, self.below = HeldJournal(), below or ScriptedRuntime(facts)
        self.clock, ids, keys = StillClock(), CountedIds(), OpenKeys()
        recorder = AuditRecorder(self.journal, self.clock, ids, keys, "nod_1", lambda log: log)
        made = HostingSettings(**settings)
        self.runtime = RecordedRuntime(self.below, recorder, keys, self.clock, ids, made)

    async def start(self, **fields):
        return await self.runtime.start(spec(**fields), asyncio.Protocol(), asyncio.Protocol())


def spec(**fields):
    given = {"server": "srv_a", "workspace": "wsp_1", "command": (), "env": {}, **fields}
    return LaunchSpec(**{"image": IMAGE, "tier": "standard", **given})


@pytest.fixture
def anyio_backend():
    return "asyncio"


pytestmark = pytest.mark.anyio


@pytest.mark.guarantee("isolation:attested")
async def test_an_instance_is_handed_out_once_its_facts_are_durable():
    host = Hosting()
    host.journal.held = True
    starting = asyncio.create_task(host.start(secrets=("KEY:file:file", "TOKEN:env:vault")))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not starting.done()
    assert host.below.started[0].written == []
    host.journal.release()
    instance = await starting
    instance.write(b"hello\n")
    assert host.below.started[0].written == [b"hello\n"]
    ((log, leaf),) = host.journal.bodies
    assert log == "calls:wsp_1"
    assert leaf == {
        "at": leaf["at"],
        "facts": "capabilities=0000000000000000; cpus=1.0; interfaces=lo; memory_bytes=268435456; "
        "namespaces=ipc,mnt,net,pid,user,uts; no_new_privileges=yes; processes=64; "
        "root_read_only=yes; seccomp=yes; source=kernel; uid=310001; uid_map=0 310000 65536",
        "image": IMAGE,
        "instance": instance.name,
        "limits": "memory 256 MiB, 1 CPU, 64 processes, 16 MiB of temporary files",
        "node": "nod_1",
        "runtime": "runc 1.1.5",
        "secrets": "KEY:file:file, TOKEN:env:vault",
        "server": "srv_a",
        "t": "instance.started",
        "tier": "standard",
        "v": 1,
        "wanted": "standard",
    }


@pytest.mark.guarantee("isolation:attested")
@pytest.mark.parametrize(
    ("lack", "told"),
    [
        ({"seccomp": False}, "no seccomp filter holds"),
        ({"capabilities": "00000000a80425fb"}, "it has capabilities"),
        ({"memory_bytes": 0}, "the limit of memory is none"),
        ({"interfaces": ("eth0", "lo")}, "it has a network interface"),
        ({"tier": "weak"}, "the tier is weak, and standard was asked for"),
    ],
)
async def test_what_is_not_as_its_tier_promises_is_ended_unheard_and_on_record(lack, told):
    host = Hosting(structs.replace(STANDARD, **lack))
    with pytest.raises(UpstreamUnreachable, match=told):
        await host.start()
    (ended,) = host.below.started
    assert (ended.written, ended.stops) == ([], [0.0])
    ((_, leaf),) = host.journal.bodies
    assert (leaf["t"], leaf["reason"]) == ("instance.refused", "isolation")
    assert told in leaf["deviations"]
    assert host.runtime.instances() == ()


@pytest.mark.guarantee("isolation:attested")
async def test_nothing_starts_that_cannot_be_written_down():
    host = Hosting()
    host.journal.failed = True
    with pytest.raises(LedgerDown):
        await host.start()
    assert host.below.started == []
    host.journal.failed, host.journal.held = False, True
    starting = asyncio.create_task(host.start())
    await until(lambda: host.journal.waiting, "the start is on its way to the log")
    host.journal.refuse()
    with pytest.raises(LedgerDown):
        await starting
    assert host.below.started[0].stops == [0.0]
    assert host.runtime.instances() == ()


async def test_a_start_that_is_given_up_leaves_no_instance_and_no_open_record():
    host = Hosting()
    host.journal.held = True
    starting = asyncio.create_task(host.start())
    await until(lambda: host.journal.waiting, "the start is on its way to the log")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert host.below.started[0].stops == [0.0]
    assert host.journal.words == ["instance.started", "instance.stopped"]


async def test_a_program_of_this_machine_is_recorded_as_not_isolated():
    host = Hosting(IsolationFacts(runtime="process", tier="none", source="none", uid=210_000))
    instance = await host.start(image="", tier="none")
    await instance.stop()
    first, last = (leaf for _, leaf in host.journal.bodies)
    assert (first["tier"], first["facts"]) == ("none", "source=none; uid=210000")
    assert "image" not in first
    assert (last["t"], last["reason"], last["status"]) == ("instance.stopped", "stopped", 0)


async def test_a_command_that_cannot_be_started_is_on_record_as_an_image_is():
    host = Hosting()
    host.below.fault = UpstreamUnreachable("There is no such program.")
    for image in ("", IMAGE):
        with pytest.raises(UpstreamUnreachable):
            await host.start(image=image, tier="none")
    leaves = [leaf for _, leaf in host.journal.bodies]
    assert [(each["t"], each["reason"]) for each in leaves] == [("instance.refused", "start")] * 2
    assert [each.get("image", "") for each in leaves] == ["", IMAGE]
    assert host.runtime.instances() == ()


@pytest.mark.parametrize(
    ("status", "ending", "reason", "told"),
    [
        (0, "", "exit", 0),
        (3, "", "exit", 3),
        (-11, "", "signal", 11),
        (-9, "out of memory", "out_of_memory", 9),
    ],
)
async def test_the_record_of_its_end_tells_how_it_ended_by_itself(status, ending, reason, told):
    host = Hosting()
    instance = await host.start()
    host.below.started[0].status = status
    host.below.started[0].ending = ending
    host.clock.step(2.5)
    await instance.stop(0.0)
    await instance.stop(0.0)
    (last,) = (leaf for _, leaf in host.journal.bodies if leaf["t"] == "instance.stopped")
    assert (last["reason"], last["status"], last["ms"]) == (reason, told, 2500)
    assert last["instance"] == instance.name


async def test_whoever_ends_it_says_why_and_nobody_elses_is_meant():
    host = Hosting()
    anns = await host.start(owner="mem_ann", person="mem_ann")
    cis = await host.start(owner="agt_ci", person="mem_ann")
    bobs = await host.start(owner="mem_bob", person="mem_bob")
    host.runtime.foretell("revoked", owner="mem_ann")
    for each in (anns, cis, bobs):
        await each.stop()
    ends = [leaf for _, leaf in host.journal.bodies if leaf["t"] == "instance.stopped"]
    assert [each["reason"] for each in ends] == ["revoked", "revoked", "stopped"]


async def test_an_owned_instance_commits_to_its_owner_and_names_nobody():
    host = Hosting()
    await host.start(owner="agt_ci", person="mem_ann")
    ((_, leaf),) = host.journal.bodies
    assert leaf["actor_c"].startswith("sha256:")
    assert leaf["v"] == 2
    assert "mem_ann" not in json.dumps(leaf)
    assert "agt_ci" not in json.dumps(leaf)


@pytest.mark.guarantee("isolation:no-second-path")
async def test_each_cap_refuses_with_the_setting_that_raises_it():
    host = Hosting(instances=3, instances_per_server=2, instances_per_person=1)
    await host.start(owner="mem_ann", person="mem_ann")
    with pytest.raises(LimitReached, match="You have as many") as one:
        await host.start(server="srv_b", owner="agt_ci", person="mem_ann")
    assert one.value.retry_after
    await host.start()
    with pytest.raises(LimitReached, match="This server has") as two:
        await host.start()
    assert "hosting.instances_per_server" in two.value.remedy
    third = await host.start(server="srv_b")
    with pytest.raises(LimitReached, match="This node runs"):
        await host.start(server="srv_c")
    await third.stop()
    await host.start(server="srv_c")


@pytest.mark.guarantee("isolation:no-second-path")
async def test_what_starts_at_the_same_time_does_not_go_beyond_a_cap():
    host = Hosting(instances_per_server=5)
    tried = await asyncio.gather(*(host.start() for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(each, LimitReached) for each in tried) == 45
    assert len(host.below.started) == 5


async def test_a_connection_is_made_once_it_is_on_record_and_to_allowed_places_only():
    host = Hosting(connections_per_minute=2)
    instance = await host.start(egress=("api.example.com:443",))
    (report,) = host.below.reports
    opened = EgressEvent(kind="opened", connection="7", host="api.example.com", port=443)
    host.journal.held = True
    opening = asyncio.create_task(report(opened))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not opening.done()
    host.journal.release()
    host.journal.held = False
    await opening
    host.clock.step(1.0)
    await report(structs.replace(opened, kind="closed", sent=10, received=20))
    secret = EgressEvent(kind="opened", connection="8", host="c4nary.evil.example", port=443)
    with pytest.raises(HouseError, match="not among those"):
        await report(secret)
    await report(structs.replace(opened, connection="9"))
    with pytest.raises(LimitReached):
        await report(structs.replace(opened, connection="10"))
    await instance.stop()
    with pytest.raises(HouseError):
        await report(structs.replace(opened, connection="11"))
    leaves = [leaf for _, leaf in host.journal.bodies]
    assert [leaf["t"] for leaf in leaves] == [
        "instance.started",
        "egress.opened",
        "egress.closed",
        "egress.refused",
        "egress.opened",
        "egress.closed",
        "instance.stopped",
    ]
    assert (leaves[1]["host"], leaves[1]["connection"]) == ("api.example.com", f"{instance.name}.1")
    assert (leaves[2]["sent"], leaves[2]["received"], leaves[2]["ms"]) == (10, 20, 1000)
    assert leaves[5]["reason"] == "instance_ended"
    assert "c4nary" not in json.dumps(leaves)


async def test_many_refused_connections_are_a_few_records_with_their_exact_count():
    host = Hosting()
    instance = await host.start()
    (report,) = host.below.reports
    for number in range(1000):
        await report(EgressEvent(kind="refused", connection=str(number), host="x.example", port=1))
    await instance.stop()
    told = [leaf for _, leaf in host.journal.bodies if leaf["t"] == "egress.refused"]
    assert len(told) < 30
    assert sum(leaf.get("count", 1) for leaf in told) == 1000


async def test_nothing_is_connected_for_what_was_not_admitted_yet():
    host = Hosting(structs.replace(STANDARD, seccomp=False))
    tried = []
    below = host.below.start

    async def start(spec, output, errors, report):
        event = EgressEvent(kind="opened", connection="1", host="a.example", port=1)
        tried.append(asyncio.create_task(report(event)))
        return await below(spec, output, errors, report)

    host.below.start = start
    with pytest.raises(UpstreamUnreachable):
        await host.start(egress=("a.example:1",))
    with pytest.raises(HouseError):
        await tried[0]
    assert host.journal.words == ["instance.refused"]


async def test_what_it_says_is_masked_kept_within_bounds_and_handed_on_whole():
    host = Hosting()
    heard = []

    class Heard(asyncio.Protocol):
        def data_received(self, data):
            heard.append(data)

    given = spec(
        env={"TOKEN": "Bearer s3cret", "PLAIN": "a-literal-that-may-be-one", "WORD": "short"},
        secrets=("TOKEN:env:vault",),
    )
    tails = []
    below = host.below.start

    async def start(spec, output, errors, report):
        tails.append(errors)
        return await below(spec, output, errors, report)

    host.below.start = start
    await host.runtime.start(given, asyncio.Protocol(), Heard())
    (tail,) = tails
    tail.data_received(b"token s3cret \x1b[2Jand a-literal-that-may-be-one, short\npart")
    tail.data_received(b" two\n" + b"x" * 300_000 + b"\n")
    tail.data_received(b"z" * 1_998 + b"s3cret and more\n")
    lines, last = host.runtime.error_lines("srv_a")
    assert lines[0].line == "token [secret] and [secret], short"
    assert lines[1].line == "part two"
    assert len(lines[2].line) == 2_000
    assert "s3" not in lines[3].line
    assert sum(map(len, heard)) > 300_000
    tail.data_received(b"y\n" * 10_000)
    lines, after = host.runtime.error_lines("srv_a", last)
    assert (len(lines), lines[-1].number) == (200, after)
    assert host.runtime.error_lines("srv_b") == ([], after)
    host.runtime.keep(frozenset())
    assert host.runtime.error_lines("srv_a")[0] == []


@pytest.mark.parametrize("turns", [1, 20])
async def test_an_access_that_ends_during_a_start_ends_what_is_being_started(turns):
    host = Hosting()
    host.journal.held = True
    starting = asyncio.create_task(host.start(owner="mem_a", person="mem_a"))
    for _ in range(turns):
        await asyncio.sleep(0)
    ending = asyncio.create_task(host.runtime.end_owned("mem_a"))
    await asyncio.sleep(0.0)
    host.journal.release()
    with pytest.raises(HouseError):
        await asyncio.gather(starting, ending)
    assert (host.runtime.instances(), host.below.started[0].status) == ((), 0)
    assert host.journal.bodies[-1][1]["reason"] == "revoked"
