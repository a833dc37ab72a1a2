"""`apply` takes its file from standard input too, and says what it does not do."""

import io
import sys

import msgspec
import pytest

from gatelodge.cli import main, output
from gatelodge.cli.client import ApiRequest, ApiResponse, GateClient
from gatelodge.cli.terminal import CommandRun


class Taking:
    """A way that remembers what it was asked."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, object]] = []

    def send(self, asked: ApiRequest) -> ApiResponse:
        self.bodies.append(msgspec.json.decode(asked.body))
        return ApiResponse(200, b'{"lines":["+ group ops"],"dry_run":false}')

    def close(self) -> None:
        return


@pytest.fixture
def taking(monkeypatch: pytest.MonkeyPatch) -> Taking:
    way = Taking()
    monkeypatch.setattr(CommandRun, "gate", GateClient(way, "main"))
    return way


def given(monkeypatch: pytest.MonkeyPatch, octets: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(octets)))


def test_a_dash_stands_for_standard_input(
    taking: Taking, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch, '[[groups]]\nname = "Büro"\n'.encode())
    assert main.run(["apply", "-"]) == output.OK
    assert taking.bodies == [{"text": '[[groups]]\nname = "Büro"\n', "prune": False}]
    assert "+ group ops" in capsys.readouterr().out


def test_what_is_no_text_is_refused_from_standard_input_as_from_a_file(
    taking: Taking, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch, b"\xff\xfe")
    assert main.run(["apply", "-"]) == output.USAGE
    assert "- is not UTF-8 text" in capsys.readouterr().err
    assert taking.bodies == []


def test_pruning_from_standard_input_wants_a_yes_since_nobody_can_be_asked(
    taking: Taking, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given(monkeypatch, b"")
    assert main.run(["apply", "-", "--prune", "--json"]) == output.USAGE
    assert "--yes" in capsys.readouterr().err
    assert taking.bodies == []


def test_help_says_what_apply_ends_and_what_it_leaves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["apply", "--help"]) == output.OK
    told = " ".join(capsys.readouterr().out.split())
    assert "Members, agents, groups and servers stay even so" in told
    assert main.run(["--help"]) == output.OK
    assert "equal" not in capsys.readouterr().out
