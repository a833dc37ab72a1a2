"""What an instance finds around itself: what its spec says, and nothing else of the gate's."""

import os
import re
from pathlib import Path

import pytest
from tests.contract.runtimes.kinds import arguments
from tests.upstreams.pools import until

from gatelodge.core.errors import LaunchRefused

pytestmark = pytest.mark.anyio

CACHES = {
    "XDG_CACHE_HOME", "npm_config_cache", "UV_CACHE_DIR", "UV_PYTHON_INSTALL_DIR",
    "BUN_INSTALL_CACHE_DIR", "DENO_DIR",
}  # fmt: skip


@pytest.fixture(autouse=True)
async def ready(host, kind):
    """Each test here begins with one guest at least: its runtime says how it is kept apart."""
    yield
    for each in host.runtime.instances():
        assert re.fullmatch(kind.isolation, each.isolation)


@pytest.mark.guarantee("secrets:stay-here")
async def test_the_environment_is_what_the_spec_says_and_nothing_of_the_gates(
    host, kind, monkeypatch
):
    monkeypatch.setenv("CANARY_SECRET", "of the gate")
    env = {"TOKEN": "s3cret", "LANG": "de_DE.UTF-8"}
    seen = (await (await host.start("serve", env=env)).ask("facts"))["env"]
    for own in ("LC_CTYPE", *kind.adds):  # Python's own, at its start, and the engine's
        seen.pop(own, None)
    own = set() if kind.image else CACHES
    assert seen.keys() == {"PATH", "LANG", "HOME", "TMPDIR", "TOKEN"} | own
    assert seen["TMPDIR"] == seen["HOME"]
    assert (seen["TOKEN"], seen["LANG"]) == ("s3cret", "de_DE.UTF-8")
    assert "/usr/bin" in seen["PATH"].split(":")
    assert "~" not in seen["PATH"]


@pytest.mark.guarantee("secrets:stay-here")
async def test_it_gets_its_three_pipes_and_no_file_of_the_gates(host, folder, kind):
    held = os.open(folder / "held", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(held, True)
    try:
        found = await (await host.start("serve")).ask("facts")
    finally:
        os.close(held)
    assert [name.split(":")[0] for name in found["files"]] == [
        "host" if kind.own_kernel else "pipe"
    ] * 3
    assert set(found["ignored"]) <= {"SIGPIPE", "SIGXFSZ"}  # Python's own
    assert found["sid"] == found["pid"]


@pytest.mark.guarantee("secrets:stay-here")
async def test_a_secret_is_in_no_arguments_and_in_no_file(host, kind):
    secret = "s3cret-canary-of-this-test"
    guest = await host.start("serve", env={"TOKEN": secret})
    found = await guest.ask("facts")
    assert [pid for pid, words in arguments().items() if secret.encode() in words] == []
    if not kind.image:
        assert not any(secret in text for text in texts(Path(found["env"]["HOME"]), host.caches))
    bearers = [pid for pid in arguments() if secret.encode() in environment(pid)]
    if kind.elsewhere:
        assert len(bearers) == 1
    else:
        assert bearers == ([] if kind.own_kernel else [guest.instance.pid])


def texts(*folders):
    return [each.read_text() for at in folders for each in at.rglob("*") if each.is_file()]


def environment(pid):
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


async def test_each_start_has_a_new_home_where_it_begins(host, on_this_machine):
    homes = set()
    for _ in range(2):
        guest = await host.start("serve")
        found = await guest.ask("facts")
        homes.add(home := found["env"]["HOME"])
        assert (found["cwd"], found["home"], found["in_home"]) == (home, "0o700", [])
        assert await guest.ask("write", f"{home}/left", "x") == ""
        await guest.instance.stop(0.0)
        await until(lambda home=home: not os.path.lexists(home), "removed")
    assert len(homes) == 2


async def test_it_begins_in_the_directory_that_its_spec_names(host):
    guest = await host.start("serve", cwd="/usr")
    assert (await guest.ask("facts"))["cwd"] == "/usr"


async def test_its_uid_is_its_own_or_the_gates(host, kind, on_this_machine):
    one, twin = await host.start("serve"), await host.start("serve")
    other = await host.start("serve", server="srv_two")
    found = [await each.ask("facts") for each in (one, twin, other)]
    if kind.gates_uid:
        plain = await host.start("serve", own_uid=False)
        found.append(await plain.ask("facts"))
        assert (found[3]["uid"], found[3]["gid"]) == (os.getuid(), os.getgid())
        await plain.instance.stop(0.0)
    uids, gids = [each["uid"] for each in found], [each["gid"] for each in found]
    if not kind.own_uids:
        assert set(uids) == {os.getuid()}
        return
    assert len(set(uids)) == len(uids)
    assert gids[0] == gids[1] != gids[2]
    assert all(each["groups"] == [] for each in found[:3])
    assert str(uids[0]) in one.instance.isolation
    await one.instance.stop(0.0)
    again = await (await host.start("serve")).ask("facts")
    assert (again["uid"], again["gid"]) == (uids[0], gids[0])


async def test_one_that_may_not_be_the_gates_own_user_is_refused(host, kind):
    if kind.gates_uid:
        return
    with pytest.raises(LaunchRefused, match="root") as refused:
        await host.start("serve", own_uid=False)
    assert "run_as" in refused.value.remedy


async def test_a_cache_outlasts_its_instances_and_is_the_servers_own(host, kind, on_this_machine):
    first = await host.start("serve")
    kept = f"{(await first.ask('facts'))['env']['npm_config_cache']}/kept"
    assert await first.ask("write", kept, "fetched") == ""
    second = await host.start("serve")
    assert await second.ask("read", kept) == "fetched"
    assert await second.ask("write", kept, "fetched again") == ""
    other = await host.start("serve", server="srv_two")
    if kind.own_uids:
        assert (await other.ask("read", kept))["refused"] in kind.refusals
        assert await other.ask("write", kept, "mine") in kind.refusals
    for each in (first, second):
        await each.instance.stop(0.0)
    assert await (await host.start("serve")).ask("read", kept) == "fetched again"


async def test_a_cache_goes_with_its_server_once_nothing_of_it_runs(host, on_this_machine):
    guest, other = await host.start("serve"), await host.start("serve", server="srv_two")
    one, two = host.caches / "srv_one", host.caches / "srv_two"
    host.runtime.keep(frozenset({"srv_one", "srv_two"}))
    host.runtime.keep(frozenset({"srv_two"}))
    await other.ask("echo")
    assert one.is_dir()  # the guest could write into what is being removed
    await guest.instance.stop(0.0)
    await host.runtime.close()
    assert not one.exists()
    assert two.is_dir()


async def test_what_an_earlier_gate_left_is_removed_once_it_is_known_what_there_is(
    host, on_this_machine
):
    for server in ("srv_one", "srv_two"):
        await (await host.start("serve", server=server)).instance.stop(0.0)
    (host.caches / "not_ours").mkdir()
    later = host.again()
    later.keep(frozenset({"srv_two", "srv_three"}))
    await later.close()
    assert {each.name for each in host.caches.iterdir()} == {"srv_two", "not_ours"}


async def test_a_cache_that_cannot_be_made_keeps_nothing_from_starting(host, on_this_machine):
    host.caches.write_text("in the way")
    guest = await host.start("serve")
    assert not CACHES & (await guest.ask("facts"))["env"].keys()
