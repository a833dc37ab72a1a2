"""Questions put to legacy clients: who may answer, until when, and what is said meanwhile."""

import asyncio
import json

import pytest
from msgspec import Raw

from gatelodge.core.protocol.bridge.questions import InputRequest
from gatelodge.flows.gateway.bridge import asking

pytestmark = pytest.mark.anyio
ROOTS = InputRequest("roots/list")
FOUND = Raw(b'{"roots":[]}')


async def test_a_question_is_answered_in_its_own_session_and_once():
    questions, said = asking.OpenBatches(), []
    put = questions.put(b"ada", {"roots": ROOTS}, said.append)
    number = b"%d" % json.loads(said[0])["id"]
    assert not questions.answered(b"ben", number, FOUND, None)
    assert questions.answered(b"ada", number, FOUND, None)
    assert not questions.answered(b"ada", number, FOUND, None)
    assert (await put.answers(5, lambda: None))["roots"].result is FOUND
    assert not len(questions)


async def test_what_is_not_answered_in_time_is_missing_and_forgotten():
    questions, said = asking.OpenBatches(), []
    put = questions.put(b"ada", {"a": ROOTS, "b": ROOTS}, said.append)
    questions.answered(b"ada", b"%d" % json.loads(said[1])["id"], FOUND, None)
    assert list(await put.answers(0.01, lambda: None)) == ["b"]
    assert not len(questions)


async def test_while_somebody_thinks_the_stream_is_kept_open(monkeypatch):
    monkeypatch.setattr(asking, "BREATH_SECONDS", 0.01)
    questions, said, breaths = asking.OpenBatches(), [], []
    put = questions.put(b"ada", {"roots": ROOTS}, said.append)

    def breathe():
        breaths.append(len(breaths))
        if len(breaths) == 3:
            questions.answered(b"ada", b"%d" % json.loads(said[0])["id"], FOUND, None)

    async with asyncio.timeout(5):
        assert list(await put.answers(60, breathe)) == ["roots"]
    assert breaths == [0, 1, 2]
