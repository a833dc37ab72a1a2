import os
import shutil
from hashlib import sha256

import pytest

from gatelodge.adapters.keys.disk import open_disk_keys
from gatelodge.adapters.keys.signer import LogSigner
from gatelodge.adapters.keys.sources import open_keys
from gatelodge.core.errors import Invalid, KeyMismatch, KeyUnreachable


@pytest.fixture
def place(tmp_path):
    return tmp_path / "keys"


def test_keys_made_once_are_the_keys_read_later(place):
    made = open_disk_keys(place, create=True)
    read = open_disk_keys(place, create=False)
    assert made.fingerprints() == read.fingerprints()
    assert {made.log, made.kek, made.seal, made.journal, made.peppers["1"]} == {
        read.log,
        read.kek,
        read.seal,
        read.journal,
        read.peppers["1"],
    }
    assert len({made.log, made.kek, made.seal, made.journal, made.peppers["1"]}) == 5


def test_nobody_else_may_look_into_the_directory_or_its_files(place):
    open_disk_keys(place, create=True)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (place, *place.rglob("*"))}
    assert modes == {
        "keys": 0o700,
        "peppers": 0o700,
        "log": 0o600,
        "kek": 0o600,
        "seal": 0o600,
        "journal": 0o600,
        "1": 0o600,
    }


def test_a_database_that_is_not_new_never_gets_new_keys(place):
    with pytest.raises(KeyMismatch):
        open_disk_keys(place, create=False)
    assert not place.exists()


def test_keys_left_half_made_by_a_crash_are_made_anew(place):
    aside = place.with_name("keys.new")
    (aside / "peppers").mkdir(parents=True)
    (aside / "log").write_text("half")
    assert len(open_disk_keys(place, create=True).fingerprints()) == 5
    assert not aside.exists()


def test_the_recorded_fingerprints_must_be_here_and_later_keys_may_be(place):
    keys = open_disk_keys(place, create=True)
    recorded = keys.fingerprints()
    (place / "peppers" / "2").write_text("ab" * 32 + "\n")
    (place / "peppers" / "2").chmod(0o600)
    rotated = open_disk_keys(place, create=False)
    rotated.check(recorded)
    assert list(rotated.peppers) == ["2", "1"]
    (place / "kek").write_text("cd" * 32 + "\n")
    with pytest.raises(KeyMismatch, match="kek") as caught:
        open_disk_keys(place, create=False).check(recorded)
    assert "log" not in caught.value.detail.split(": ")[1]


def test_fingerprints_tell_the_public_log_key_and_nothing_of_the_secret_ones(place):
    keys = open_disk_keys(place, create=True)
    prints = keys.fingerprints()
    public = LogSigner(keys.log, "gate").public
    assert prints["log"] == sha256(public).hexdigest()[:32]
    for secret in (keys.kek, keys.seal, keys.journal, keys.peppers["1"]):
        assert secret.hex()[:32] not in prints.values()
        assert sha256(secret).hexdigest()[:32] not in prints.values()


@pytest.mark.parametrize("path", ["kek", "peppers/1", "."])
def test_a_key_that_others_may_read_is_refused(place, path):
    open_disk_keys(place, create=True)
    (place / path).chmod(0o750)
    with pytest.raises(KeyUnreachable, match="open to other users"):
        open_disk_keys(place, create=False)


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 31, "ab" * 33, "\xff"])
def test_a_damaged_key_is_told_without_its_bytes(place, text):
    open_disk_keys(place, create=True)
    (place / "seal").write_text(text)
    with pytest.raises(KeyUnreachable) as caught:
        open_disk_keys(place, create=False)
    assert not text or text not in caught.value.detail


@pytest.mark.parametrize("name", ["log", "kek", "peppers/1", "peppers"])
def test_a_lost_key_is_told_by_its_place(place, name):
    open_disk_keys(place, create=True)
    (place / name).rename(place / "elsewhere")
    with pytest.raises(KeyUnreachable):
        open_disk_keys(place, create=False)


@pytest.mark.parametrize("name", ["02", "00", "\u00b2", "\u0662"])
def test_a_pepper_that_is_not_named_by_a_plain_number_is_refused_by_its_name(place, name):
    open_disk_keys(place, create=True)
    shutil.copy(place / "peppers" / "1", place / "peppers" / name)
    with pytest.raises(KeyUnreachable, match=f"peppers/{name} is not named") as caught:
        open_disk_keys(place, create=False)
    assert caught.value.remedy


def test_a_key_source_is_chosen_by_its_scheme(place):
    made = open_keys(f"file:{place}", create=True)
    assert made.fingerprints() == open_keys(f"file:{place}", create=False).fingerprints()
    with pytest.raises(Invalid):
        open_keys("moon:base", create=True)


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyUnreachable, match="cannot make the keys directory"):
        open_disk_keys(tmp_path / "file" / "keys", create=True)


@pytest.mark.parametrize("name", ["", "log", "peppers", "peppers/1"])
def test_a_link_in_the_place_of_keys_is_refused(place, name):
    open_disk_keys(place, create=True)
    aside = place.with_name("aside")
    (place / name).rename(aside)
    (place / name).symlink_to(aside)
    with pytest.raises(KeyUnreachable):
        open_disk_keys(place, create=False)


def test_a_link_to_nowhere_gets_no_keys(place):
    place.symlink_to(place.with_name("nowhere"))
    with pytest.raises(KeyUnreachable, match="leads elsewhere"):
        open_disk_keys(place, create=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("name", ["", "log", "peppers", "peppers/1"])
def test_keys_of_somebody_else_are_refused(place, name):
    open_disk_keys(place, create=True)
    os.chown(place / name, 12345, 12345)
    with pytest.raises(KeyUnreachable, match="belongs to uid 12345"):
        open_disk_keys(place, create=False)
