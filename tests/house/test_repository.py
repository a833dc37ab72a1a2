"""The repository speaks of the product only: no machine, no index host, no story of its making."""

import re
from pathlib import PurePath

from tests.house.source import ROOT, told, tracked

FORBIDDEN = {
    r"(?<![\w.])/work/|(?<!\w)/root/(?!\.\.)": "a path of one machine",
    r"pypi\.org|pythonhosted\.org|registry\.npmjs\.org|proxy\.golang\.org|static\.crates\.io": (
        "the host of a package index"
    ),
    r"\bDESIGN\.md\b|\bEXAMPLES\.md\b|\bPREAMBLE\b|(?<!docs/)\breference/(style|peers|isolation|"
    r"identity-policy|mcp-protocol|audit-and-receipts|trust-ecosystem-ui)\.md": (
        "a paper that is not part of the repository"
    ),
    r"(?i)co-authored-by|\b(written|built|made|generated) (by|with) (an? )?(ai|llm|agent|claude|"
    r"gpt|copilot)\b|\b(my|the) (brief|colleagues?)\b": "how the project is made",
}

EXEMPT = {
    "tests/house/test_repository.py": "it names what it looks for",
    "uv.lock": "a lock names the index it was made from",
    "examples/demo/package-lock.json": "a lock names the index it was made from",
    "tests/node/package-lock.json": "a lock names the index it was made from",
}

TEXT = {"", ".py", ".md", ".toml", ".ini", ".c", ".h", ".sql", ".json", ".txt", ".sh", ".yaml",
        ".yml", ".js", ".mjs", ".ts", ".cfg", ".mako", ".cedar", ".conf", ".svg"}  # fmt: skip

LARGEST = 1_000_000


def test_nothing_tells_of_machines_or_of_the_making():
    faults = []
    for path in tracked():
        if path in EXEMPT or PurePath(path).suffix not in TEXT:
            continue
        text = (ROOT / path).read_text("utf-8", errors="replace")
        for pattern, what in FORBIDDEN.items():
            faults += [
                f"{path}:{text.count(chr(10), 0, hit.start()) + 1} '{hit.group()}' is {what}"
                for hit in re.finditer(pattern, text)
            ]
    assert not faults, told(
        "A reader elsewhere has neither our machines nor our papers.",
        faults,
        "cite a decision (docs/decisions), a specification's clause, or nothing.",
    )


def test_no_large_or_built_file_is_kept():
    faults = [
        f"{path}: {size} bytes"
        for path in tracked()
        if (size := (ROOT / path).stat().st_size) > LARGEST
        or PurePath(path).suffix in {".pyc", ".so", ".sqlite", ".db", ".whl"}
    ]
    assert not faults, told("What can be built is not kept.", faults, "build it when it is needed.")


def test_no_line_waits_to_be_written():
    word = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|\bNotImplementedError\b")
    faults = [
        f"{path}:{number} {line.strip()[:80]}"
        for path in tracked()
        if path.endswith((".py", ".md", ".toml", ".c")) and path not in EXEMPT
        for number, line in enumerate((ROOT / path).read_text("utf-8").splitlines(), 1)
        if word.search(line)
    ]
    assert not faults, told(
        "What is missing stands in KNOWN-LIMITS.md, not in the code.",
        faults,
        "write it or drop it.",
    )
