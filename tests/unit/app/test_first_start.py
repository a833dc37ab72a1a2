"""What a first start says: in whose name logs are signed, what the demo lacks, a lost token."""

import importlib.util
import shutil
from pathlib import Path

import pytest
from tests.gate import Gate

from gatelodge.app.announce import ReadyAnnouncement
from gatelodge.app.demo import offered
from gatelodge.app.run import _log_name_warnings
from gatelodge.cli.up import TerminalAnnouncer
from gatelodge.config.schema import AuditSettings, Settings


def test_a_first_start_says_in_whose_name_logs_are_signed_unless_that_was_chosen(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (said,) = _log_name_warnings(Settings(), first=True)
    assert "localhost" in said
    assert "audit.origin=" in said
    TerminalAnnouncer().ready(
        ReadyAnnouncement(address="a", directory="d", token="t", seconds=0, warnings=(said,))
    )
    assert said in capsys.readouterr().out
    assert _log_name_warnings(Settings(), first=False) == ()
    assert (
        _log_name_warnings(Settings(audit=AuditSettings(origin="gate.example.com")), first=True)
        == ()
    )


def test_what_the_demo_lacks_is_named_by_what_would_bring_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    needs = {each.alias: each.needs for each in offered()}
    assert not any(each.installed for each in offered())
    for alias in ("time", "git"):
        assert f"pip install mcp-server-{alias}" in needs[alias]
        assert "Node" not in needs[alias]
    for alias in ("everything", "filesystem", "memory"):
        assert "Node" in needs[alias]
        assert "pip" not in needs[alias]


def test_a_first_start_that_comes_to_nothing_says_how_the_owner_gets_a_token(
    tmp_path: Path,
) -> None:
    gate = Gate(tmp_path / "data")
    (gate.directory / "run" / "admin.sock").mkdir(parents=True)  # founded, then not opened
    ended = gate.command("up", "--port", "0")
    assert ended.returncode == 2, ended.stderr
    assert "token of a first start was not shown" in ended.stderr
    assert "gatelodge token create --member owner@localhost" in ended.stderr
    assert "gtlp_" not in ended.stdout + ended.stderr
