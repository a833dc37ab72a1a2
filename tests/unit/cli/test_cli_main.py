import json
from pathlib import Path

import click
import pytest

from gatelodge.cli import main, output


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
