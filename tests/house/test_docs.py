"""The pages say what the code says: generated ones are fresh, links lead somewhere."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from docs import facts, prose
from docs.generate import PAGES
from tests.house.source import ROOT, is_there, told, tracked

from gatelodge.core.records.governance import GovKind
from gatelodge.core.records.leaves import LEAVES, MEANINGS


@pytest.mark.parametrize("page", PAGES)
def test_generated_pages_are_fresh(page: str):
    committed = (ROOT / page).read_text("utf-8") if (ROOT / page).exists() else ""
    assert committed == PAGES[page](), told(
        "A reference that differs from the code is a lie.", [page], "run `make docs` and look."
    )


def test_each_field_of_a_record_is_explained():
    fields = {name for kind in LEAVES.values() for name in kind.__struct_fields__}
    faults = sorted(fields ^ MEANINGS.keys())
    assert not faults, told(
        "A record is read years later.",
        faults,
        "explain the field in core/records/leaves.py, or drop it.",
    )


def test_each_gov_leaf_is_explained():
    kinds = set(get_args(GovKind))
    faults = sorted((kinds ^ prose.GOV.keys()) | (facts.subjects().keys() - kinds))
    assert not faults, told(
        "The gov log is the history of who could do what.",
        faults,
        "say in docs/prose.py what the leaf says, or take the kind out.",
    )


def test_each_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    listed = list(project["project"]["dependencies"])
    listed += [d for extra in project["project"]["optional-dependencies"].values() for d in extra]
    listed += [d for group in project["dependency-groups"].values() for d in group]
    wanted = {re.split(r"[\[<>=~! ]", each)[0] for each in listed}
    page = (ROOT / "docs/dependencies.md").read_text("utf-8")
    told_of = set(re.findall(r"(?m)^\| `([^`]+)` \|", page))
    faults = sorted(wanted ^ told_of)
    assert not faults, told(
        "Each dependency is somebody else's code in this house.",
        faults,
        "say in docs/dependencies.md why it is here, or take it out.",
    )


def test_links_lead_somewhere():
    faults = []
    for path in tracked():
        if not path.endswith(".md"):
            continue
        text = re.sub(r"(?ms)^```.*?^```", "", (ROOT / path).read_text("utf-8"))
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = ((ROOT / path).parent / name).resolve() if name else ROOT / path
            if not is_there(target) or (anchor and anchor not in _anchors(target)):
                faults.append(f"{path}: {link}")
    assert not faults, told("A link that leads nowhere.", faults, "mend the link or the page.")


def test_pages_that_the_code_names_exist():
    faults = [
        f"{path}: {page}"
        for path in tracked()
        if path.startswith("src/") and path.endswith(".py")
        for page in re.findall(r"\bdocs/[\w/.-]+\.md\b", (ROOT / path).read_text("utf-8"))
        if not is_there(ROOT / page)
    ]
    assert not faults, told(
        "Whoever reads an error goes where it sends them.", faults, "write the page, or mend it."
    )


FOR_CONTRIBUTORS = {
    "ARCHITECTURE.md": (
        "",
        "src/gatelodge",
        *(f"src/gatelodge/adapters/{room}" for room in ("upstream", "net")),
    ),
    "CONTRIBUTING.md": ("", "src/gatelodge"),
    "docs/debugging.md": ("",),
    "docs/recipes.md": ("",),
}
"""Pages that name files, and below which folders they name them."""


def test_files_that_pages_for_contributors_name_exist():
    faults = []
    for path, folders in FOR_CONTRIBUTORS.items():
        text = re.sub(r"(?ms)^```.*?^```", "", (ROOT / path).read_text("utf-8"))
        for name in re.findall(r"`([\w./-]+(?:/|\.(?:py|md|toml|json|mjs)))`", text):
            stands_for_any = re.search(r"[A-Z]{3,}/", name)
            if not (stands_for_any or any(is_there(ROOT / each / name) for each in folders)):
                faults.append(f"{path}: {name}")
    assert not faults, told(
        "A recipe that names no file sends its reader nowhere.",
        faults,
        "follow the file to where it went, or drop the step.",
    )


def test_decisions_are_numbered_and_short():
    pages = _decisions()
    numbers = [page.name.partition("-")[0] for page in pages]
    faults = [f"{each}: another page has it" for each in numbers if numbers.count(each) > 1]
    for page in pages:
        text = page.read_text("utf-8")
        wanted = ("## What", "## Why", "## What else was weighed", "## What would change our mind")
        faults += [f"{page.name}: lacks '{part}'" for part in wanted if part not in text]
        if text.count("\n") > 60:
            faults.append(f"{page.name}: longer than one screen")
    assert not faults, told(
        "A decision is one screen that says what would change our mind.", faults, "mend the page."
    )


def test_cited_decisions_exist():
    pages = {page.name[:4] for page in _decisions()}
    faults = [
        f"{path}: decision {number}"
        for path in tracked()
        if path.endswith((".py", ".md", ".importlinter", ".toml"))
        for listing in re.findall(
            r"\bdecisions? ((?:\d{4}(?:, | and )?)+)", (ROOT / path).read_text("utf-8")
        )
        for number in re.findall(r"\d{4}", listing)
        if number not in pages
    ]
    assert not faults, told("A citation of no decision.", faults, "write the record, or mend it.")


def _decisions() -> list[Path]:
    return [ROOT / path for path in tracked() if re.match(r"docs/decisions/\d.*\.md$", path)]


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"(?m)^#+ (.+)$", page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
