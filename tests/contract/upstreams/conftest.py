"""The pool, and the real servers it is held against."""

import os
import subprocess

import pytest
from msgspec import structs
from tests.contract.upstreams.real import (
    KINDS,
    everything,
    free_port,
    git_server,
    sdk_server,
    time_server,
)
from tests.upstreams import pools
from tests.upstreams.pools import make_pool


@pytest.fixture
def anyio_backend():
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
async def pool():
    # The end of its input does not end server-everything: each that is a process is waited for.
    made = make_pool(hosting=structs.replace(pools.HOSTING, stop_seconds=0.2))
    yield made
    await made.close()
    assert made.counts() == {"calls": 0, "connections": 0, "children": 0, "tasks": 0}


@pytest.fixture(scope="module")
def served():
    """Start a server that listens on a port of its own; each command once, and all end here.

    A test leaves its session behind at most: to the server the next one is another client.
    """
    started = {}

    def start(*command):
        if command not in started:
            port = free_port()
            given = [str(port) if word == "PORT" else word for word in command]
            env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
            quiet = subprocess.DEVNULL
            process = subprocess.Popen(
                given, env={**env, "PORT": str(port)}, stdout=quiet, stderr=quiet
            )
            started[command] = port, process
        return started[command][0]

    yield start
    for _, process in started.values():
        process.kill()
        process.wait(10)


@pytest.fixture(params=KINDS)
async def real(request, tmp_path, served):
    what, how = request.param.split()
    if what == "time":
        return time_server(how)
    if what == "git":
        return git_server(how, tmp_path)
    if what == "sdk":
        return await sdk_server(how, served)
    return await everything(how, served)
