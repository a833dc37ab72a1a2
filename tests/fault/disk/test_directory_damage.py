"""Every file of a data directory, damaged in every way after a kill: kept exactly once, or told."""

import shutil
import time

import pytest
from tests.fault.scene.setting import admit, open_to_everyone, serve
from tests.fault.test_kill import Load
from tests.gate import WAIT, Gate
from tests.leaves import Calls, leaves_of
from tests.upstreams.witnessing import Witness

REFUSALS = {3, 4, 5}
"""The exit codes of a gate that does not start, as docs/reference/cli.md has them."""


class Killed:
    """A data directory whose gate was killed under load, an older copy, and what was answered."""

    def __init__(self, place):
        self.place = place / "data"
        self.older = place / "older"
        gate = Gate(self.place, "audit.segment_bytes=300000")
        with Witness() as upstream:
            gate.start()
            serve(gate, "up", upstream.url)
            open_to_everyone(gate, "up")
            token = admit(gate, "ada")
            self.answered = self._loaded(gate, token, 0.5)
            shutil.copytree(self.place, self.older, ignore=shutil.ignore_patterns("*.sock"))
            self.answered += self._loaded(gate, token, 1.5, kill=True)

    def _loaded(self, gate, token, seconds, *, kill=False):
        client = gate.client(token)
        if not kill:
            ends, answered = time.monotonic() + seconds, 0
            while time.monotonic() < ends:
                assert client.call("up__t_0").status == 200
                answered += 1
            return answered
        load = Load(gate.port, token, "t_0")
        time.sleep(seconds)
        gate.kill()
        return len(load.join())

    def files(self):
        """Every file, by its path inside the directory."""
        every = (path for path in self.place.rglob("*") if path.is_file())
        return sorted(str(path.relative_to(self.place)) for path in every)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    return Killed(tmp_path_factory.mktemp("killed"))


def flipped(path, part):
    octets = bytearray(path.read_bytes())
    if octets:
        octets[min(int(len(octets.rstrip(b"\0")) * part), len(octets) - 1)] ^= 4
    path.write_bytes(octets)


def put_back(path, older):
    path.unlink()
    if older.exists():
        shutil.copy(older, path)


DAMAGES = {
    "missing": lambda path, older: path.unlink(),
    "emptied": lambda path, older: path.write_bytes(b""),
    "halved": lambda path, older: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeroed": lambda path, older: path.write_bytes(bytes(path.stat().st_size)),
    "head zeroed": lambda path, older: path.write_bytes(
        bytes(min(512, path.stat().st_size)) + path.read_bytes()[512:]
    ),
    "first bit": lambda path, older: flipped(path, 0.0),
    "bit in the middle": lambda path, older: flipped(path, 0.5),
    "bit near the end": lambda path, older: flipped(path, 0.999),
    "older": put_back,
}
_MUCH_ALIKE = ("emptied", "head zeroed", "first bit", "bit near the end")
"""What `make weekly` tries under load: these are much like those that are missing or flipped."""


def started(gate):
    """Start it; the text of the refusal, empty when it serves and was stopped again."""
    gate.spawn()
    try:
        gate.event("ready")
    except AssertionError:
        code = gate.process.wait(WAIT)
        gate.process.stdout.close()
        assert code in REFUSALS, (code, gate.stderr)
        return gate.stderr
    gate.stop()
    return ""


def damaged_copy(place, killed, damage, name):
    """A gate of a copy of the killed directory in which this file is damaged."""
    gate = Gate(place)
    shutil.copytree(killed.place, gate.directory, ignore=shutil.ignore_patterns("*.sock"))
    DAMAGES[damage](gate.directory / name, killed.older / name)
    return gate


def is_named(told, gate, name):
    """A refusal says where to look: the file, or the one of which it is a part."""
    whole = name.removesuffix("-wal").removesuffix("-shm")
    if name.startswith("keys/") and told.partition("this database: ")[2].startswith(name[5:]):
        return True  # a key is told by its name
    return any(str(gate.directory / part) in told for part in (whole, name.rpartition("/")[0]))


def faults_of(killed, damage, name, gate):
    """What is wrong with how a gate with this damage starts."""
    told = started(gate)
    if told:
        named = is_named(told, gate, name) and "remedy" in told
        return [] if named else [(name, f"refused without its name: {told}")]
    calls = Calls(leaves_of(gate.directory))
    lost = killed.answered - sum(calls.outcomes("ok").values())
    try:
        calls.is_paired()
    except AssertionError:
        return [(name, "a call is there twice, or half")]
    return [(name, f"{lost} calls are lost")] if lost > 0 else []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "damage",
    [pytest.param(each, marks=[pytest.mark.weekly] * (each in _MUCH_ALIKE)) for each in DAMAGES],
)
def test_after_damage_every_answered_call_is_there_once_or_the_gate_names_what_is_wrong(
    killed, damage, tmp_path
):
    faults = []
    for number, name in enumerate(killed.files()):
        gate = damaged_copy(tmp_path / f"data-{number}", killed, damage, name)
        faults += faults_of(killed, damage, name, gate)
        shutil.rmtree(gate.directory)
    assert not faults


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["missing", "older"])
def test_a_guard_that_is_lost_or_older_is_refused_until_a_restore_says_so(killed, damage, tmp_path):
    gate = damaged_copy(tmp_path / "data", killed, damage, "guard/signed.json")
    assert "guard file is missing or older" in started(gate)
    gate.cli("backup", str(tmp_path / "kept"), "--as-it-is")
    gate.cli("restore", str(tmp_path / "kept"), "--replace", "--yes", "--why", "guard-lost")
    with gate.running():
        stated = [leaf["t"] for leaf in leaves_of(gate.directory, "gov")]
    assert "log.restored" in stated


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("damage", [each for each in DAMAGES if each != "older"])
def test_damage_to_a_database_at_rest_is_refused_or_harmless_or_found(killed, damage, tmp_path):
    gate = Gate(tmp_path / "data")
    shutil.copytree(killed.place, gate.directory, ignore=shutil.ignore_patterns("*.sock"))
    assert not started(gate)
    database = gate.directory / "gatelodge.db"
    assert not database.with_name("gatelodge.db-wal").exists()
    DAMAGES[damage](database, None)
    told = started(gate)
    if told:
        assert str(gate.directory) in told
        assert "remedy" in told
        return
    checked = gate.command("--json", "audit", "fsck")
    if checked.returncode == 0:
        calls = Calls(leaves_of(gate.directory))
        calls.is_paired()
        assert sum(calls.outcomes("ok").values()) >= killed.answered
