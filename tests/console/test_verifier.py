"""The verifier that runs in the page says VERIFIED where the one in Python does, and never else."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.console.proofs import ORIGIN, Case, MadeLog, other_sign, spoiled_cases

from gatelodge.core.records.verify import verify_proof

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "src/gatelodge/web/console/static/verify.js"
RUNNER = ROOT / "tests/node/verifier.js"

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")


def judged(tmp_path: Path, cases: Sequence[Case]) -> list[str]:
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps(each) + "\n" for each in cases))
    command = ["node", "--no-warnings", str(RUNNER), str(PROGRAM), str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert len(said) == len(cases)
    return said


def test_every_leaf_of_every_small_tree_is_verified_by_both(tmp_path: Path) -> None:
    cases = [MadeLog(size).case(at) for size in range(1, 20) for at in range(size)]
    assert set(judged(tmp_path, cases)) == {"VERIFIED"}
    for each in cases:
        assert verify_proof(each["text"].encode(), [each["vkey"]]).verdict == "VERIFIED"


@pytest.mark.slow
def test_whatever_single_thing_is_changed_nothing_is_verified(tmp_path: Path) -> None:
    good = MadeLog(11).case(3, 9)
    cases = list(spoiled_cases(good))
    assert len(cases) > 4_000
    said = judged(tmp_path, [good, *cases])
    assert said[0] == "VERIFIED"
    wrong = [case for case, word in zip(cases, said[1:], strict=True) if word == "VERIFIED"]
    assert wrong == []
    assert set(said[1:]) == {"NOT VERIFIED", "UNVERIFIABLE"}


def test_a_proof_that_is_put_together_otherwise_is_not_verified(tmp_path: Path) -> None:
    log, other = MadeLog(11), MadeLog(11, seed=2)
    good = log.case(3, 9)
    document = json.loads(good["text"])
    first, second = document["leaves"]
    cases = [
        {**good, "vkey": other.verifier.format()},
        {**good, "vkey": MadeLog(1, gate="elsewhere.example.test").verifier.format()},
        {**other.case(3, 9), "vkey": good["vkey"]},
        {**good, "text": MadeLog(12).file(3, 9).replace('"index": 3', '"index": 4')},
    ]
    for leaves in (
        [second],
        [first, first],
        [{**first, "index": 9}, second],
        [{**first, "proof": second["proof"]}, second],
        [{**first, "leaf": second["leaf"]}, second],
        [],
    ):
        text = json.dumps({**document, "leaves": leaves}, indent=1, ensure_ascii=False) + "\n"
        cases.append({**good, "text": text})
    assert "VERIFIED" not in judged(tmp_path, cases)


def test_without_ed25519_or_a_proof_of_growth_it_is_not_called_verified(tmp_path: Path) -> None:
    log = MadeLog(11)
    good = log.case(3)
    seen = {ORIGIN: {"size": 5, "root": log.root(5)}}
    forked = {ORIGIN: {"size": 5, "root": log.root(6)}}
    bigger = {ORIGIN: {"size": 12, "root": MadeLog(12).root(12)}}
    cases = [
        {**good, "without": True},
        {**good, "last": seen},
        {**good, "last": seen, "grown": log.growth(4, 11)},
        {**good, "last": forked, "grown": log.growth(5, 11)},
        {**good, "last": {ORIGIN: {"size": 11, "root": log.root(10)}}},
        {**good, "last": bigger, "grown": log.growth(5, 11)},
        {**good, "last": seen, "grown": log.growth(5, 11)},
        {**good, "last": bigger, "grown": MadeLog(12).growth(11, 12)},
        {**good, "last": {ORIGIN: {"size": 11, "root": log.root(11)}}},
        {**good, "last": {"another.example.test/gov": {"size": 5, "root": log.root(5)}}},
    ]
    said = judged(tmp_path, cases)
    assert said[:2] == ["UNVERIFIABLE"] * 2
    assert said[2:6] == ["NOT VERIFIED"] * 4
    assert said[6:] == ["VERIFIED"] * 4


def test_a_log_that_only_grew_is_told_from_one_that_did_not(tmp_path: Path) -> None:
    log = MadeLog(18)
    good: list[Case] = []
    bad: list[Case] = []
    for new in range(1, 19):
        for old in range(1, new + 1):
            path = log.growth(old, new)
            case = {
                "then": {"size": old, "root": log.root(old)},
                "now": {"size": new, "root": log.root(new)},
                "path": path,
            }
            good.append(case)
            bad.append({**case, "path": [*path, log.root(1)]})
            for at, each in enumerate(path):
                bad.append({**case, "path": [*path[:at], *path[at + 1 :]]})
                changed = other_sign(each[0]) + each[1:]
                bad.append({**case, "path": [*path[:at], changed, *path[at + 1 :]]})
            if old > 1:
                bad.append({**case, "then": {"size": old, "root": log.root(old - 1)}})
    said = judged(tmp_path, [*good, *bad])
    assert set(said[: len(good)]) == {"VERIFIED"}
    assert "VERIFIED" not in said[len(good) :]
