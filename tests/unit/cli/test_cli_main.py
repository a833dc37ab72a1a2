import json
import re
from pathlib import Path

import click
import pytest

from gatelodge.app.announce import ReadyAnnouncement
from gatelodge.cli import main, output
from gatelodge.cli.client import TOKEN_VARIABLE
from gatelodge.cli.up import TerminalAnnouncer, snippets


def test_every_command_of_the_table_can_be_loaded_and_says_what_it_does() -> None:
    with click.Context(main.root) as context:
        seen = list(_verbs(main.root, context, "gatelodge"))
    assert len(seen) > 40
    for path, command in seen:
        assert command.help, path
        assert any("--json" in each.opts for each in command.params), path


def test_each_command_takes_the_short_word_for_help_with_and_without_its_group() -> None:
    with click.Context(main.root) as context:
        seen = [("gatelodge", main.root), *_all(main.root, context, "gatelodge")]
    for path, command in seen:
        alone = click.Context(command, **command.context_settings)
        assert alone.help_option_names == ["-h", "--help"], path


def _all(group: click.Group, context: click.Context, path: str):
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _all(command, context, f"{path} {name}")


def _verbs(group: click.Group, context: click.Context, path: str):
    found = _all(group, context, path)
    return ((path, each) for path, each in found if not isinstance(each, click.Group))


def test_a_mistyped_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["sever"]) == output.USAGE
    assert "Did you mean server?" in capsys.readouterr().err


@pytest.mark.guarantee("secrets:stay-here")
def test_no_command_shows_a_word_too_many_since_it_may_be_a_secret(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with click.Context(main.root) as context:
        seen = dict(_verbs(main.root, context, ""))
    # Words of few kinds, and names of files, are told where they are wrong.
    judged = {
        path
        for path, command in seen.items()
        for each in command.params
        if isinstance(each, click.Argument)
        and (each.nargs < 0 or not isinstance(each.type, click.types.StringParamType))
    }
    for path in seen.keys() - judged:
        given = path.split()
        assert main.run([*given, *["canary"] * 9]) == output.USAGE, path
        assert main.run([*given, "--value", "canary"]) == output.USAGE, path
        assert main.run([*given, "--json", *["canary"] * 9]) == output.USAGE, path
        told = capsys.readouterr()
        assert "canary" not in told.out + told.err, path


def test_a_token_in_the_place_of_its_file_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = ["--url", "https://gate.example", "--token-file", "canary", "whoami"]
    assert main.run(elsewhere) == output.USAGE
    assert "canary" not in capsys.readouterr().err


def test_json_may_stand_after_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.run(["--set", "listen.port=1234", "config", "show", "--json"]) == output.OK
    lines = json.loads(capsys.readouterr().out)
    port = next(each for each in lines if each["key"] == "listen.port")
    assert port == {"key": "listen.port", "value": 1234, "origin": "--set"}


def test_wrong_settings_are_told_all_at_once_and_exit_as_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gatelodge.toml").write_text("[listen]\nprot = 1\n[store]\npoll_ms = 1\n")
    assert main.run(["config", "check"]) == output.USAGE
    told = capsys.readouterr().err
    assert "did you mean listen.port" in told
    assert "store.poll_ms" in told
    assert main.run(["config", "check", "--json"]) == output.USAGE
    assert len(json.loads(capsys.readouterr().err)["faults"]) == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_completion_script(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["completion", shell]) == output.OK
    assert "_GATELODGE_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["server", "add", "x"],
        ["server", "add", "x", "--url", "http://a", "--", "cmd"],
        ["server", "add", "x", "--url", "http://a", "--header", "novalue"],
        ["token", "create"],
        ["token", "create", "--member", "a@b.c", "--agent", "x"],
        ["grant", "add", "--server", "x"],
        ["grant", "add", "--server", "x", "--everyone", "--for", "soon"],
        ["grant", "add", "--server", "x", "--everyone", "--for", "1h", "--until", "2030-01-01"],
        ["tool", "review", "s", "t"],
        ["apply", "no-such-file.toml"],
    ],
)
def test_what_contradicts_itself_is_refused_before_the_gate_is_asked(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.run(arguments) == output.USAGE
    assert "error:" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("up --data-dir x", "gatelodge --data-dir DIR up"),
        ("grant create", "Did you mean add?"),
        ("server kill x", "`gatelodge instance kill`"),
        ("member frobnicate", "There are: list, show, add"),
        ("grant add --everyone --server s --for soon", "Say how long it lasts, such as 8h"),
    ],
)
def test_a_command_line_that_is_not_quite_ours_is_told_what_was_meant(
    line: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(line.split()) == output.USAGE
    assert told in capsys.readouterr().err
