"""What is written to standard error: one line for each event, whatever stands in it."""

import asyncio
import gc
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import uvloop

from gatelodge.adapters.telemetry.lines import LONGEST, configure
from gatelodge.app.node import Node
from gatelodge.core.errors import StoreDown

log = logging.getLogger("gatelodge.tests.lines")


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("gatelodge")
    before = (root.handlers, root.level, ours.level)
    hooks = (threading.excepthook, sys.unraisablehook)
    yield
    threading.excepthook, sys.unraisablehook = hooks
    root.handlers = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_event_is_one_line_whatever_a_name_in_it_holds(
    form: str, capsys: pytest.CaptureFixture[str]
):
    configure("info", form)
    log.warning("server %s is away", "a\r\n2026 error all is lost\x1b[2J\u202e\u2028b")
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert all(each.isprintable() for each in told[:-1])
    assert "server a<U+000D><U+000A>2026 error all is lost<U+001B>[2J<U+202E><U+2028>b" in told


def test_a_line_has_an_end(capsys: pytest.CaptureFixture[str]):
    configure("info", "text")
    log.warning("x" * 100_000)
    assert len(capsys.readouterr().err) < LONGEST + 100


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_told_by_its_place_and_never_by_its_words(
    form: str, capsys: pytest.CaptureFixture[str]
):
    configure("info", form)
    try:
        int("tok_secret")
    except ValueError:
        log.exception("it failed")
    told = capsys.readouterr().err
    assert "test_lines.py:" in told
    assert "tok_secret" not in told


async def fails_with_words(word: str) -> None:
    raise ValueError(word)


async def fails_with_a_group(word: str) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(fails_with_words(word))


async def task_that_nobody_waited_for() -> None:
    task = asyncio.ensure_future(fails_with_words("tok_secret"))
    await asyncio.wait([task])
    del task
    gc.collect()


async def callback_with_words() -> None:
    asyncio.get_running_loop().call_soon(int, "tok_secret")
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def two_tasks_of_a_node_that_die() -> None:
    node = object.__new__(Node)
    node._tasks, node.broken = [], asyncio.get_running_loop().create_future()
    node._spawn_task(fails_with_words("tok_secret"))
    node._spawn_task(fails_with_a_group("tok_secret again"))
    await asyncio.wait(list(node._tasks))
    await node.broken
    gc.collect()


async def thread_that_dies() -> None:
    thread = threading.Thread(target=int, args=("tok_secret",))
    thread.start()
    thread.join(10)


async def object_that_fails_as_it_goes() -> None:
    class Goes:
        def __del__(self) -> None:
            int("tok_secret")

    Goes()
    gc.collect()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(
    "happens",
    [
        task_that_nobody_waited_for,
        callback_with_words,
        two_tasks_of_a_node_that_die,
        thread_that_dies,
        object_that_fails_as_it_goes,
    ],
)
def test_what_python_itself_tells_of_an_exception_is_its_type_and_place_on_one_line(
    happens: Callable, loop: Callable, capsys: pytest.CaptureFixture[str]
):
    configure("info", "text")
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(happens())
    told = capsys.readouterr().err
    assert told.count("\n") == (2 if happens is two_tasks_of_a_node_that_die else 1)
    assert all("ValueError" in line for line in told.splitlines())
    assert "tok_secret" not in told


@pytest.mark.anyio
@pytest.mark.parametrize("dies", [fails_with_words, fails_with_a_group])
async def test_a_fault_that_ends_the_gate_is_told_by_its_type_and_can_be_found_from_its_line(
    dies: Callable, capsys: pytest.CaptureFixture[str]
):
    configure("info", "text")
    node = object.__new__(Node)
    node._tasks, node.broken = [], asyncio.get_running_loop().create_future()
    node._spawn_task(dies("tok_secret"))
    assert str(await node.broken) == "a task of the gate died of ValueError"
    line = capsys.readouterr().err
    assert "a task of the gate died of ValueError at test_lines.py:" in line
    assert line.index(f":{fails_with_words.__code__.co_firstlineno + 1}") > 0
    assert "tok_secret" not in line


@pytest.mark.anyio
async def test_a_known_fault_ends_the_gate_in_its_own_words_also_out_of_a_group():
    async def dies() -> None:
        raise ExceptionGroup("several", [StoreDown("the disk is full")])

    node = object.__new__(Node)
    node._tasks, node.broken = [], asyncio.get_running_loop().create_future()
    node._spawn_task(dies())
    assert type(await node.broken) is StoreDown


def test_what_asyncio_shows_without_an_exception_is_told_without_the_objects(
    capsys: pytest.CaptureFixture[str],
):
    configure("info", "text")
    logging.getLogger("asyncio").error("Task was destroyed!\nfuture: <result='tok_secret'>")
    logging.getLogger("asyncio").warning("Executing %r took %.3f seconds", "tok_secret", 1.0)
    told = capsys.readouterr().err
    assert "Task was destroyed!" in told
    assert "tok_secret" not in told


def test_a_collector_reads_when_how_severe_and_what(capsys: pytest.CaptureFixture[str]):
    configure("info", "json")
    log.error("it failed")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["message"]) == ("error", "it failed")
    assert line["at"].endswith("Z")


def test_the_level_holds_for_this_house_and_others_are_heard_from_warning_up(
    capsys: pytest.CaptureFixture[str],
):
    configure("error", "text")
    log.warning("ours")
    logging.getLogger("other").info("quiet")
    logging.getLogger("other").warning("theirs")
    told = capsys.readouterr().err
    assert "theirs" in told
    assert "ours" not in told
    assert "quiet" not in told
