"""What engines are told, and how what they say is read, without an engine."""

import asyncio
import json

import pytest

from gatelodge.adapters.runtime.docker.attach import AttachedStream
from gatelodge.adapters.runtime.docker.body import ContainerPlan, container_body
from gatelodge.adapters.runtime.docker.engine import EngineTraits
from gatelodge.adapters.runtime.docker.facts import engine_facts
from gatelodge.adapters.runtime.docker.place import EnginePlace, read_place
from gatelodge.adapters.runtime.docker.probe import _has_known_faults, judge_engine
from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.facts import deviations
from gatelodge.core.hosting.limits import InstanceLimits

TRAITS = {
    "version": "29.0.1", "api": "1.52", "runtime": "runc 1.4.0", "machine": "x86_64",
    "cgroups": "2", "user_namespaces": True, "seccomp": True,
}  # fmt: skip
PLAN = ContainerPlan(
    image="sha256:" + "a" * 64,
    command=("/usr/bin/python3", "-m", "server"),
    env={"TOKEN": "s3cret"},
    cwd="/",
    limits=InstanceLimits(),
    labels={"dev.gatelodge.mark": "m"},
    profile="{}",
    volumes=("/data",),
)


def traits(kind="docker", **fields):
    return EngineTraits(kind=kind, **{**TRAITS, **fields})


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("unix:///run/docker.sock", EnginePlace(path="/run/docker.sock")),
        ("/run/podman/podman.sock", EnginePlace(path="/run/podman/podman.sock")),
        ("tcp://127.0.0.1:2375", EnginePlace(host="127.0.0.1", port=2375)),
        ("tcp://[::1]:2375", EnginePlace(host="::1", port=2375)),
    ],
)
def test_an_engine_is_on_a_socket_or_on_loopback(url, place):
    assert read_place(url) == place


@pytest.mark.parametrize(
    "url",
    ["", "unix://", "docker.sock", "tcp://10.0.0.1:2375", "tcp://docker:2375", "tcp://127.0.0.1",
     "tcp://127.0.0.1:x", "ssh://host", "https://127.0.0.1:2376", "unix://host/path"],
)  # fmt: skip
def test_any_other_place_is_refused_with_a_remedy(url):
    with pytest.raises(UpstreamUnreachable, match="docker_url") as failed:
        read_place(url)
    assert "unix:///PATH" in failed.value.remedy


@pytest.mark.parametrize("kind", ["docker", "podman"])
def test_a_container_gets_nothing_that_was_not_said(kind):
    body = container_body(PLAN, traits(kind))
    kept = body["HostConfig"]
    assert (kept["NetworkMode"], kept["ReadonlyRootfs"]) == ("none", True)
    assert (kept["CapDrop"], kept["LogConfig"]) == (["ALL"], {"Type": "none"})
    assert kept["SecurityOpt"] == ["no-new-privileges", "seccomp={}"]
    assert kept["Memory"] == kept["MemorySwap"] == 256 << 20
    assert all("noexec" in each and "size=16m" in each for each in kept["Tmpfs"].values())
    assert {"/tmp", "/data"} <= kept["Tmpfs"].keys()
    assert body["Healthcheck"] == {"Test": ["NONE"]}
    assert "s3cret" not in json.dumps((body["Labels"], body["Entrypoint"], body["Cmd"]))


def kept_by_engine(**fields):
    """What an engine tells of a container that it took as it was asked."""
    body = container_body(PLAN, traits())
    return {"HostConfig": {**body["HostConfig"], **fields}, "Config": {"User": "10001:10001"}}


def test_what_an_engine_tells_is_labelled_as_that_and_judged():
    facts = engine_facts(kept_by_engine(), traits(), "docker")
    assert (facts.source, facts.tier) == ("engine", "standard")
    assert deviations(facts, "standard", InstanceLimits()) == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"Memory": 0}, {"PidsLimit": None}, {"NanoCpus": 0}, {"ReadonlyRootfs": False},
        {"CapDrop": []}, {"CapAdd": ["SYS_ADMIN"]}, {"Privileged": True}, {"NetworkMode": "bridge"},
        {"SecurityOpt": ["no-new-privileges", "seccomp=unconfined"]}, {"PidMode": "host"},
        {"SecurityOpt": []}, {"IpcMode": "host"},
    ],
)  # fmt: skip
def test_what_an_engine_dropped_is_a_deviation(fields):
    facts = engine_facts(kept_by_engine(**fields), traits(), "docker")
    assert deviations(facts, "standard", InstanceLimits())


class Reader(asyncio.Protocol):
    def __init__(self):
        self.transport, self.data, self.calls, self.ended = None, b"", 0, False

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        assert self.transport is not None
        self.data += data
        self.calls += 1

    def connection_lost(self, exc):
        self.ended = True


def frame(data, stream=1):
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4) + data


class Wire(asyncio.Transport):
    def __init__(self):
        super().__init__()
        self.aborted = False

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def abort(self):
        self.aborted = True


def attached():
    reader, wire = Reader(), Wire()
    stream = AttachedStream(reader)
    stream.connection_made(wire)
    return stream, reader, wire


@pytest.mark.parametrize("size", [1, 3, 7, 8, 9, 1000])
def test_frames_are_taken_apart_however_they_are_cut(size):
    async def run():
        stream, reader, _ = attached()
        said = b"HTTP/1.1 101 UPGRADED\r\nUpgrade: tcp\r\n\r\n"
        said += frame(b"one") + frame(b"") + frame(b"two" * 100) + frame(b"\n")
        for at in range(0, len(said), size):
            stream.data_received(said[at : at + size])
        assert reader.data == b"one" + b"two" * 100 + b"\n"
        stream.connection_lost(None)
        assert reader.ended
        assert stream.ended.done()

    asyncio.run(run())


def test_a_read_is_handed_on_at_once_so_that_a_pause_holds():
    async def run():
        stream, reader, _ = attached()
        stream.data_received(b"HTTP/1.1 200 OK\r\n\r\n" + frame(b"a") * 100)
        assert (reader.calls, reader.data) == (1, b"a" * 100)

    asyncio.run(run())


@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 404 Not Found\r\n\r\n", b"x" * 20_000, b"nonsense\r\n\r\n"]
)
def test_an_engine_that_does_not_attach_is_let_go(said):
    async def run():
        stream, reader, wire = attached()
        stream.data_received(said)
        assert wire.aborted
        stream.connection_lost(None)
        assert reader.transport is None
        assert not reader.ended

    asyncio.run(run())


def test_the_reason_why_an_engine_does_not_attach_is_told():
    async def run():
        stream, _, _ = attached()
        reason = b'{"message":"exec: no-such-program: not found"}'
        said = b"HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\n\r\n" % len(reason) + reason
        for at in range(0, len(said), 10):
            stream.data_received(said[at : at + 10])
        with pytest.raises(ConnectionError, match="no-such-program"):
            await stream._upgraded

    asyncio.run(run())


@pytest.mark.parametrize(
    ("fields", "tiers", "told"),
    [
        ({}, ("weak", "standard"), []),
        ({"user_namespaces": False}, ("weak",), []),
        ({"rootless": True, "cgroups": "1"}, (), ["drops all limits"]),
        ({"seccomp": False}, (), ["filters no system calls"]),
        ({"version": "19.3.1"}, (), ["older than 20.10"]),
        ({"runtime": "runc 1.1.5+ds1"}, ("weak", "standard"), ["CVE-2025-31133"]),
        ({"kind": "podman", "version": "4.2.0"}, (), ["older than 4.3"]),
    ],
)
def test_what_an_engine_offers_follows_from_what_it_is(fields, tiers, told):
    gaps, offered = judge_engine(traits(**fields))
    assert offered == tiers
    assert [word for word, gap in zip(told, gaps, strict=True) if word not in gap.says] == []
    assert all(gap.remedy for gap in gaps)


@pytest.mark.parametrize(
    ("runtime", "known"),
    [
        ("runc 1.1.5+ds1", True), ("runc 1.2.7", True), ("runc 1.2.8", False),
        ("runc 1.3.2", True), ("runc 1.3.3", False), ("runc version 1.4.4", False),
        ("runc 1.5.0", False), ("crun 1.8.1", False), ("runc", False),
    ],
)  # fmt: skip
def test_faults_are_known_by_the_branch_of_a_release(runtime, known):
    assert _has_known_faults(runtime) is known
