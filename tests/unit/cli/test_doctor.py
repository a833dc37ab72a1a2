"""The doctor tells what is wrong as a finding, also where it may not look."""

import json
import os

import pytest

from gatelodge.cli import output
from gatelodge.cli.main import run


@pytest.fixture
def findings(capsys):
    def found(*words):
        code = run([*words, "--json", "doctor"])
        seen = capsys.readouterr()
        assert code == output.NEGATIVE, seen.err
        told = json.loads(seen.out)
        return {each["check"]: each["says"] for each in told if each["state"] == "wrong"}

    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
@pytest.mark.parametrize(
    ("words", "check", "told"),
    [
        (("data",), "settings", "data/gatelodge.toml: cannot be read (Permission denied)"),
        (("data", "--config", "settings"), "data directory", "belongs to uid 0"),
        (("data/in", "--config", "settings"), "data directory", "be looked at"),
    ],
)
def test_what_this_account_may_not_look_into_is_a_finding(
    tmp_path, monkeypatch, findings, words, check, told
):
    (tmp_path / "data" / "keys").mkdir(parents=True)
    (tmp_path / "data").chmod(0o700)
    (tmp_path / "settings").write_text("")
    monkeypatch.chdir(tmp_path)
    findings("--data-dir", "nowhere")  # what it needs is imported, by an account that may
    tmp_path.chmod(0o755)
    os.seteuid(12345)
    try:
        assert told in findings("--data-dir", *words)[check]
    finally:
        os.seteuid(0)


def test_a_file_in_the_place_of_the_data_directory_is_a_finding(tmp_path, findings):
    (tmp_path / "data").write_text("")
    found = findings("--data-dir", str(tmp_path / "data"))
    assert "is no directory" in found["data directory"]


@pytest.mark.parametrize("host", ["a" * 64, "\u00e9" * 64])
def test_a_host_that_is_no_name_is_a_finding(tmp_path, findings, host):
    found = findings("--data-dir", str(tmp_path / "data"), "--set", f"listen.host={host}")
    assert "cannot be taken" in found["port"]
