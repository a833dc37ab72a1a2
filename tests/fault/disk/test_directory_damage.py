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


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_after_damage_every_answered_call_is_there_once_or_the_gate_names_what_is_wrong(
    killed, damage, tmp_path
):
    for number, name in enumerate(killed.files()):
        gate = Gate(tmp_path / f"data-{number}")
        shutil.copytree(killed.place, gate.directory, ignore=shutil.ignore_patterns("*.sock"))
        DAMAGES[damage](gate.directory / name, killed.older / name)
        told = started(gate)
        if told:
            assert str(gate.directory) in told or name.partition("/")[0] in told, (name, told)
            assert "remedy" in told
        else:
            calls = Calls(leaves_of(gate.directory))
            calls.is_paired()
            assert sum(calls.outcomes("ok").values()) >= killed.answered, name
        shutil.rmtree(gate.directory)
