"""Whatever approves, reviews or lets something in again is asked about, or named in full."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from gatelodge.cli import main
from gatelodge.cli.terminal import CommandRun, GlobalOptions
from gatelodge.core.errors import Conflict, Invalid

READ, UNREAD, SERVER, TOLD = "a" * 64, "b" * 64, "c" * 64, "d" * 64


class Answers:
    """A gate with one server and one tool; keeps what was sent to it."""

    def __init__(self, digest: str = READ, *, told: str = TOLD, status: str = "approved") -> None:
        self.sent: list[tuple[str, Any]] = []
        self._tool = {
            "name": "find",
            "standing": "changed",
            "digest": digest,
            "hints": {"read_only": True},
            "unfit": [],
        }
        change = {**self._tool, "approved_definition": None, "definition": {"name": "find"}}
        standing = "changed" if told else "approved"
        differences = {"removed": [], "added": ["more"]}
        instructions = {"standing": standing, "digest": told, "differences": differences}
        self._found = {
            "servers/crm": {"digest": SERVER, "tools": 1, "status": status},
            "servers/crm/tools/diff": {"changes": [change], "instructions": instructions},
        }

    def here(self, *segments: str) -> str:
        return "/".join(segments)

    def get(self, path: str, **_query: object) -> Any:
        return self._found[path]

    def every(self, _path: str, **_query: object) -> list[Any]:
        return [self._tool]

    def post(self, path: str, body: object = None, **_query: object) -> Any:
        self.sent.append((path, body))
        tool = {**self._tool, "reviewed": True, "read_only": 1, "destructive": 0, "open_world": 0}
        lists = {"approved": ["find"], "unblocked": [tool], "reviewed": [tool]}
        return {"alias": "crm", "name": "find", "email": "a@b.test", "status": "approved"} | lists


def run(gate: Answers, *words: str) -> Any:
    terminal = CommandRun(GlobalOptions())
    terminal._gate = gate  # type: ignore[assignment]
    command: click.Command = main.root
    with click.Context(main.root) as context:
        while isinstance(command, click.Group):
            found = command.get_command(context, words[0])
            assert found is not None
            command, words = found, words[1:]
    done = CliRunner().invoke(command, list(words), obj=terminal)
    return done.exception


@pytest.mark.parametrize("way", [(), ("--json",)])
@pytest.mark.parametrize(
    "words",
    [
        ("server", "approve", "crm"),
        ("server", "enable", "crm"),
        ("tool", "approve", "crm", "find"),
        ("tool", "review", "crm", "*", "--hints"),
        ("tool", "review", "crm", "find", "--read-only"),
        ("tool", "unblock", "crm", "find"),
        ("policy", "retire", "freeze"),
        ("member", "resume", "a@b.test"),
        ("agent", "resume", "bot"),
    ],
)
def test_where_nobody_can_be_asked_nothing_is_let_in_without_yes(
    words: tuple[str, ...], way: tuple[str, ...]
) -> None:
    gate = Answers()
    refused = run(gate, *words, *way)
    assert isinstance(refused, Invalid)
    assert (gate.sent, "--yes" in refused.remedy) == ([], True)
    assert run(gate, *words, *way, "--yes") is None
    assert len(gate.sent) == 1


@pytest.mark.parametrize(
    ("words", "reviewed"),
    [
        (("tool", "approve", "crm", "*"), (READ,)),
        (("tool", "review", "crm", "find", "--read-only"), (READ,)),
        (("server", "approve", "crm"), (READ, TOLD)),
    ],
)
def test_a_script_approves_what_was_reviewed_and_nothing_that_came_since(
    words: tuple[str, ...], reviewed: tuple[str, ...]
) -> None:
    named = [word for digest in reviewed for word in ("--digest", digest)]
    same = Answers()
    assert run(same, *words, *named) is None
    assert len(same.sent) == 1
    for also in ((), ("--yes",)):
        changed = Answers(UNREAD)
        assert isinstance(run(changed, *words, *named, *also), Conflict)
        assert changed.sent == []


def test_instructions_and_the_way_to_a_new_server_are_named_as_its_tools_are() -> None:
    words = ("server", "approve", "crm", "--digest", READ)
    for gate in (Answers(told=UNREAD), Answers(told="", status="proposed")):
        assert isinstance(run(gate, *words), Conflict)
        assert gate.sent == []
    new = Answers(status="proposed")
    assert run(new, *words, "--digest", TOLD, "--digest", SERVER) is None
    ((_path, body),) = new.sent
    assert body == {"description": SERVER, "tools": {"find": READ}, "instructions": TOLD}


def test_a_reviewed_digest_that_nothing_has_any_more_is_refused() -> None:
    gate = Answers()
    words = ("tool", "approve", "crm", "find", "--digest", READ, "--digest", UNREAD)
    refused = run(gate, *words)
    assert isinstance(refused, Conflict)
    assert (gate.sent, f"nothing is {UNREAD}" in str(refused)) == ([], True)
