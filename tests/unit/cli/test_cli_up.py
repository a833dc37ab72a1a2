import pytest

from gatelodge.app.announce import Ready
from gatelodge.cli.up import Person


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
    ready = Ready(address="http://127.0.0.1:1", directory=directory, token="gtlp_x", seconds=0.1)
    Person().ready(ready)
    assert command in capsys.readouterr().out
