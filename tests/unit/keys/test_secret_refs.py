import os

import pytest

from gatelodge.adapters.keys.secret_refs import SecretRefs
from gatelodge.core.errors import KeyUnreachable

SECRET = "s3cret-canary"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    path.chmod(0o640)
    return path


@pytest.mark.parametrize(
    "text", ["", "plain", "https://example.com", "https://vault:1", "file", "env", "vault"]
)
def test_any_other_text_is_itself(text):
    assert SecretRefs().resolve(text) == text


def test_one_word_may_stand_before_a_reference_and_a_text_may_look_like_one(file):
    assert SecretRefs().resolve(f"Bearer file:{file}") == f"Bearer {SECRET}"
    assert SecretRefs().resolve("text:env:NAME") == "env:NAME"


def test_a_file_is_read_without_its_last_newline(file):
    assert SecretRefs().resolve(f"file:{file}") == SECRET


def test_a_file_is_read_through_a_link(file, tmp_path):
    (tmp_path / "link").symlink_to(file)
    assert SecretRefs().resolve(f"file:{tmp_path / 'link'}") == SECRET


def test_a_file_is_read_anew_each_time(file):
    refs = SecretRefs()
    refs.resolve(f"file:{file}")
    file.write_text("rotated")
    assert refs.resolve(f"file:{file}") == "rotated"


def test_an_environment_variable_is_read(monkeypatch):
    monkeypatch.setenv("GATE_TEST_SECRET", SECRET)
    assert SecretRefs().resolve("env:GATE_TEST_SECRET") == SECRET


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_file_open_to_everybody_is_refused_without_its_value(file, mode):
    file.chmod(mode)
    with pytest.raises(KeyUnreachable) as caught:
        SecretRefs().resolve(f"file:{file}")
    assert f"file:{file}" in caught.value.detail
    assert SECRET not in caught.value.detail + caught.value.remedy
    assert "chmod" in caught.value.remedy


def test_what_is_no_readable_text_file_is_refused_at_once(tmp_path, file):
    os.mkfifo(tmp_path / "pipe", 0o600)
    file.write_bytes(b"\xff\xfe")
    big = tmp_path / "big"
    big.write_bytes(b"x" * 65_537)
    big.chmod(0o600)
    for place in (tmp_path / "pipe", tmp_path, tmp_path / "absent", file, big, "relative", "/a\0b"):
        with pytest.raises(KeyUnreachable) as caught:
            SecretRefs().resolve(f"file:{place}")
        assert str(place) in caught.value.detail
        assert caught.value.remedy


def test_a_variable_that_is_not_set_is_refused():
    with pytest.raises(KeyUnreachable, match="env:GATE_TEST_NOT_SET is not set"):
        SecretRefs().resolve("env:GATE_TEST_NOT_SET")
