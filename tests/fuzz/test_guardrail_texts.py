"""Guardrails of all shapes at the limits of what is let through to the native parser."""

import random

import pytest
from tests.fuzz.guardrail_texts import WRAPS, any_text, condition, rows, wrapped
from tests.unit.policy.parsing import accepted, survives

from gatelodge.core.policy.extent import LEVELS, LEVELS_STORED

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("kib", "levels"), [(512, LEVELS), (1024, LEVELS_STORED), (8192, LEVELS_STORED)]
)
def test_whatever_nests_in_whatever_leaves_the_process_alive(kib, levels):
    chance = random.Random(7)
    texts = [*rows(), *(any_text(chance) for _ in range(4_000))]
    texts += [condition(wrapped("true", wrap, n)) for wrap in WRAPS for n in range(1, 101)]
    survives([text for text in texts if accepted(text, levels)], kib)
