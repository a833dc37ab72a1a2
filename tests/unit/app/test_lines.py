"""What is written to standard error: one line for each event, whatever stands in it."""

import json
import logging
from collections.abc import Iterator

import pytest

from gatelodge.adapters.telemetry.lines import LONGEST, configure

log = logging.getLogger("gatelodge.tests.lines")


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("gatelodge")
    before = (root.handlers, root.level, ours.level)
    yield
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
