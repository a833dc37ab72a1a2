"""What `--key` of `audit verify` is: a key, or a file of keys, whatever the file is called."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from tests.logbook import SeededSigner

from gatelodge.cli.record.verify import keys_of, verify
from gatelodge.tlog import note

SIGNER = SeededSigner()
KEY = note.VerifierKey(SIGNER.name, note.ED25519, SIGNER.public).format()
NO_PROOF = "the file is not a proof file"


def judged(tmp_path, key):
    """Why it says that nothing is proven; what is told of the keys comes after that of the file."""
    file, told = tmp_path / "proof.json", []
    file.write_text("{}")
    shown = SimpleNamespace(show=lambda report, _text: told.extend(report.reasons))
    ran = CliRunner().invoke(verify, [str(file), "--key", str(key)], obj=shown)
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return told


@pytest.mark.parametrize("name", ["log.key", "log+2026+main.key", "a+b/c+d", "+++"])
def test_a_file_of_keys_may_have_any_name(tmp_path, name):
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    place.write_text(f"# ours\n{KEY}\n")
    assert keys_of(str(place)) == [KEY]
    assert judged(tmp_path, place) == [NO_PROOF]


def test_a_key_is_never_taken_for_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (KEY, "a+b+c"):
        assert keys_of(name) == [name]
    (tmp_path / KEY.replace("/", "_")).write_text("another")
    assert keys_of(KEY) == [KEY]
    assert keys_of("x+" * 4000) == ["x+" * 4000]
