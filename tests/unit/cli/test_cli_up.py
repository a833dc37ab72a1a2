import re

import pytest

from gatelodge.app.announce import ReadyAnnouncement
from gatelodge.cli.client import TOKEN_VARIABLE
from gatelodge.cli.up import TerminalAnnouncer, snippets


@pytest.mark.parametrize(
    ("directory", "command"),
    [
        ("gatelodge-data", "$(gatelodge token create"),
        ("/srv/the gate", "$(gatelodge --data-dir '/srv/the gate' token create"),
    ],
)
def test_the_command_that_a_first_start_shows_works_on_its_data_directory(
    capsys: pytest.CaptureFixture[str], directory: str, command: str
) -> None:
    ready = ReadyAnnouncement(
        address="http://127.0.0.1:1", directory=directory, token="gtlp_x", seconds=0.1
    )
    TerminalAnnouncer().ready(ready)
    assert command in capsys.readouterr().out


def test_what_a_client_is_told_to_read_is_not_what_commands_read_their_own_token_from() -> None:
    shown = snippets("http://127.0.0.1:1/k/main/mcp", "gatelodge", member="ada@example.test")
    assert re.search(r"GATE_TOKEN=\$\(gatelodge token create --member ada@example.test\)", shown)
    assert TOKEN_VARIABLE not in shown
