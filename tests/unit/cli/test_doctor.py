"""The doctor tells what is wrong as a finding, also where it may not look."""

import json
import os

import pytest

from gatelodge.cli import output
from gatelodge.cli.house import checks
from gatelodge.cli.main import run
from gatelodge.config.schema import HostingSettings, Settings


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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")
def test_settings_that_this_account_may_not_read_are_read_by_their_owner(
    tmp_path, monkeypatch, capsys, findings
):
    (tmp_path / "data").mkdir(mode=0o700)
    monkeypatch.chdir(tmp_path)
    findings("--data-dir", "nowhere")
    tmp_path.chmod(0o755)
    os.seteuid(12345)
    try:
        run(["--data-dir", "data", "doctor"])
    finally:
        os.seteuid(0)
    assert "settings: Run as the account that owns it" in capsys.readouterr().out


def test_a_file_in_the_place_of_the_data_directory_is_a_finding(tmp_path, findings):
    (tmp_path / "data").write_text("")
    found = findings("--data-dir", str(tmp_path / "data"))
    assert "is no directory" in found["data directory"]


@pytest.mark.parametrize("host", ["a" * 64, "\u00e9" * 64])
def test_a_host_that_is_no_name_is_a_finding(tmp_path, findings, host):
    found = findings("--data-dir", str(tmp_path / "data"), "--set", f"listen.host={host}")
    assert "cannot be taken" in found["port"]


def test_packages_that_are_fetched_in_no_sandbox_are_a_finding():
    sandbox = {"confined": False, "says": "This kernel has no Landlock.", "remedy": "Use a newer."}
    (noted,) = checks.builds(sandbox, Settings())
    assert (noted.state, noted.remedy) == ("note", "Use a newer.")
    assert noted.says == "packages are fetched as the gate's own user: This kernel has no Landlock."
    strict = Settings(hosting=HostingSettings(production=True))
    (refused,) = checks.builds(sandbox, strict)
    assert (refused.state, "are refused" in refused.says) == ("wrong", True)
    (good,) = checks.builds({"confined": True, "says": "", "remedy": ""}, strict)
    assert good.state == "good"
