"""What a server offers, counted from its definitions, and how far what it can do reaches."""

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec

from gatelodge.core.ids import Instant
from gatelodge.core.trust.evidence import FoundFinding, InterfaceEvidence

_MOST_PARAMETERS: Final = 10_000
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_RUNS: Final = frozenset(("eval", "exec", "execute", "shell", "bash", "code", "script", "python"))
_BROWSES: Final = frozenset(("browser", "navigate", "screenshot"))


def interface_of(
    definitions: Sequence[str],
    at: Instant,
    *,
    changed: int = 0,
    secrets: bool = False,
    lint: str = "",
    findings: tuple[FoundFinding, ...] = (),
) -> InterfaceEvidence:
    """What these definitions (JSON texts of tools, as sent) come to.

    A text that is none counts as a tool that says nothing. `changed` is how many differ from what
    was approved, `secrets` whether the server is given any, `findings` what that `lint` found.
    """
    tools = [_tool_of(each) for each in definitions]
    described = parameters = 0
    for tool in tools:
        for schema in _parameters_of(tool):
            parameters += 1
            described += bool(isinstance(schema, dict) and schema.get("description"))
    whole = sha256("\n".join(sorted(definitions)).encode("utf-8", "surrogatepass"))
    return InterfaceEvidence(
        source="its definitions, as they were observed",
        at=at,
        definitions=whole.hexdigest(),
        tools=len(tools),
        annotated=sum(bool(_hints_of(each)) for each in tools),
        parameters=parameters,
        described=described,
        bytes=sum(len(each.encode("utf-8", "surrogatepass")) for each in definitions),
        exposure=_exposure_of(tools, secrets=secrets),
        unapproved_changes=changed,
        lint=lint,
        findings=findings,
    )


def _tool_of(text: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text.encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _parameters_of(tool: dict[str, Any]) -> Iterator[object]:
    schema = tool.get("inputSchema")
    named = schema.get("properties") if isinstance(schema, dict) else None
    if isinstance(named, dict):
        yield from list(named.values())[:_MOST_PARAMETERS]


def _hints_of(tool: dict[str, Any]) -> dict[str, Any]:
    hints = tool.get("annotations")
    return hints if isinstance(hints, dict) else {}


def _exposure_of(tools: Iterable[dict[str, Any]], *, secrets: bool) -> dict[str, str]:
    """Letters with the reason for each. What a tool does not say is taken at its worst (MCP)."""
    found: dict[str, str] = {}
    for tool in tools:
        name, hints = str(tool.get("name", ""))[:80], _hints_of(tool)
        words = {each.lower() for each in _WORDS.findall(name)}
        if hints.get("readOnlyHint") is True:
            found.setdefault("R", f"{name} reads")
        else:
            found.setdefault("W", f"{name} does not say that it only reads")
        if hints.get("openWorldHint") is not False:
            found.setdefault("N", f"{name} does not say that it stays inside")
        if words & _RUNS or words & _BROWSES:
            found.setdefault("X", f"{name} runs code or a browser, by its name")
    if secrets:
        found["S"] = "it is given secrets"
    return {letter: found[letter] for letter in "RWNXS" if letter in found}
