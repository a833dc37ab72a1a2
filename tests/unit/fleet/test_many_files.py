"""Forty people with five configurations each are read in a moment."""

import json
from time import monotonic

from tests.unit.fleet.homes import FILES, write

from gatelodge.cli.main import run

FIVE = ("claude-code", "claude-desktop", "codex", "cursor", "goose")


def test_two_hundred_configurations_are_read_within_ten_seconds(tmp_path, capfd):
    home = tmp_path / "fleet"
    for who in range(40):
        for client in FIVE:
            path, text = FILES[client]
            write(home, f"p{who:02}/{path}", text)
    began = monotonic()
    code = run(["--data-dir", str(tmp_path / "no-gate"), "import", "--json", str(home)])
    took = monotonic() - began
    counts = json.loads(capfd.readouterr().out)["counts"]
    assert (code, counts["files"], counts["owners"]) == (0, 200, 40)
    assert counts["taken"] == 2
    assert counts["merged"] == 398
    assert counts["taken"] + counts["merged"] + counts["left"] == counts["found"]
    assert took < 10
