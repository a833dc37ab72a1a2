"""What the pages tell people to write is accepted as it stands."""

import json
import re
import tomllib

import pytest
from tests.gate import ROOT

from gatelodge.core.policy.guardrails import validate


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    found = re.findall(rf"(?ms)^```{language}\n(.*?)^```", (ROOT / page).read_text("utf-8"))
    assert found, f"{page} has no block in {language}"
    return found


@pytest.mark.parametrize("text", blocks("docs/reference/policy.md", "cedar"))
def test_each_guardrail_of_the_reference_can_be_published(text):
    validate(text)


@pytest.mark.parametrize("text", blocks("docs/clients.md", "json"))
def test_each_client_file_is_json(text):
    assert "/k/main/mcp" in json.dumps(json.loads(text))


@pytest.mark.parametrize("text", blocks("docs/clients.md", "toml"))
def test_each_client_file_is_toml(text):
    assert tomllib.loads(text)


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("@anthropic-ai/claude-code", "Claude Code"),
        ("@google/gemini-cli", "Gemini CLI"),
        ("@openai/codex", "Codex"),
    ],
)
def test_the_versions_of_the_agents_are_the_ones_that_the_tests_run(package, name):
    tried = json.loads((ROOT / "tests/agents/package.json").read_text("utf-8"))["dependencies"]
    assert f"\n| {name} | {tried[package]} |" in (ROOT / "docs/clients.md").read_text("utf-8")


@pytest.mark.parametrize("text", blocks("docs/clients.md", "python"))
def test_each_piece_of_python_compiles(text):
    compile(text, "docs/clients.md", "exec")
