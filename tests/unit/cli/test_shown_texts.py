"""No text of others moves a terminal's cursor or passes for a line of ours."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.test_lists_and_tables import Scripted

from gatelodge.cli import main, output
from gatelodge.cli.client import GateClient
from gatelodge.cli.rules import definitions
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.policy.guardrails import validate

OBEYED = "\x1b]0;x\x07\x9b2J\u202e"
RULE = """// a %s comment\ty
@reason("no %s, by Ev\u0435")\u2028forbid(\tprincipal, action,\u00a0resource)\r\n;
"""


def shown(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answers: dict[str, Any],
    *words: str,
) -> str:
    """What a command printed, all of it."""
    monkeypatch.setattr(CommandRun, "gate", GateClient(Scripted(answers), "main"))
    assert main.run(words) == output.OK
    told = capsys.readouterr()
    text = told.out + told.err
    unseen = [each for each in text if each not in "\n\t" and not each.isprintable()]
    assert unseen == [], unseen
    return text


def test_a_guardrail_is_shown_so_that_no_terminal_obeys_it_and_it_still_says_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = RULE % (OBEYED, OBEYED)
    validate(text)
    told = shown(monkeypatch, capsys, {"/guardrails/r": {"text": text}}, "policy", "show", "r")
    validate(told)
    assert "// a <U+001B>]0;x<U+0007><U+009B>2J<U+202E> comment\ty\n" in told
    reason = told.partition('("')[2].partition('")')[0]
    assert reason == r"no \u{1b}]0;x\u{7}\u{9b}2J\u{202e}, by Ev\u{435}"
    assert told.endswith(" forbid(\tprincipal, action, resource)\n;\n")


def test_what_a_guardrail_names_is_told_so_that_no_terminal_obeys_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    (tmp_path / "r").write_text(RULE % ("", ""))
    answers = {
        "/guardrails": {"name": "r", "mode": "enforce", "unmatched": [f"s{OBEYED}"]},
        "/guardrails/check": {"good": True, "unmatched": [f"s{OBEYED}"]},
    }
    for words in (("add", "r", str(tmp_path / "r")), ("check", str(tmp_path / "r"))):
        assert "Not there yet" in shown(monkeypatch, capsys, answers, "policy", *words)


@pytest.mark.parametrize(
    ("path", "words", "answer"),
    [
        ("/members", ("member", "add", "e@x.test"), {"email": f"e{OBEYED}", "role": "member"}),
        ("/agents", ("agent", "add", "a", "--owner", "o"), {"name": f"a{OBEYED}", "owner": OBEYED}),
        (
            "/grants",
            ("grant", "add", "--everyone", "--server", "s", "--level", "all"),
            {"server": "s", "tool": OBEYED, "grantee": OBEYED, "level": "all"}
            | {"reaches": 1, "of": 1, "id": "grn_x"},
        ),
        (
            "/members/e/revoke",
            ("member", "revoke", "e", "--why", "w", "--dry-run"),
            {"changes": [{"what": f"member{OBEYED}", "subject": {"name": OBEYED}}]},
        ),
    ],
)
def test_what_is_told_of_a_change_holds_nothing_that_a_terminal_obeys(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    path: str,
    words: tuple[str, ...],
    answer: dict[str, Any],
) -> None:
    assert shown(monkeypatch, capsys, {path: answer}, *words)


def test_json_is_the_same_value_and_holds_nothing_that_a_terminal_obeys(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"text": OBEYED + "\x7f\U000e0041 é"}
    told = shown(monkeypatch, capsys, {"/guardrails/r": said}, "--json", "policy", "show", "r")
    assert json.loads(told) == said
    assert "é" in told
    assert json.loads(output.as_line(said)) == said


def test_no_line_of_a_servers_instructions_passes_for_a_line_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = "Be kind.\n\nSessions hear what was approved:\nBe mild."
    answers = {
        "/servers/s": {"alias": "s"},
        "/servers/s/instructions": {
            "standing": "changed",
            "digest": "dd",
            "text": forged,
            "approved": forged,
        },
    }
    told = shown(monkeypatch, capsys, answers, "server", "show", "s").splitlines()
    assert told.count("Sessions hear what was approved:") == 1
    assert told.count("  Sessions hear what was approved:") == 2


def test_no_name_in_a_definition_begins_a_line_of_its_own() -> None:
    lines = definitions.compared(
        {
            "texts": [{"where": "/a\nb", "removed": ["c\nd"], "added": []}],
            "removed": {"/e\nf": "g\nh"},
            "added": {},
            "changed": {},
            "cut": False,
        }
    )
    assert len(lines) == 3
    assert not any("\n" in each for each in lines)


def test_a_proof_takes_no_file_over_and_is_for_its_owners_eyes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "p.json"
    answers = {"/audit/calls/c/proof": {"proof": 1}, "/audit/key": {"key": "k"}}
    words = ("audit", "prove", "c", "--name-caller", "-o", str(file))
    shown(monkeypatch, capsys, answers, *words)
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("mine")
    assert main.run(words) == output.USAGE
    assert "cannot be written (File exists)" in capsys.readouterr().err
    assert file.read_text() == "mine"
