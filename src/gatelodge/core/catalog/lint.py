"""The definition lint: what in a server's definitions misleads a model, or hides from a reader.

Every string is looked at, also descriptions of parameters, enumerations and defaults. Letters that
nobody sees are taken away and others folded first, so that a disguise hides no word. Work is
bounded in bytes, strings and findings; what is beyond is a finding itself. What each rule finds on
a corpus of real and of planted definitions stands in docs/reference/lint.md.
"""

import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from gatelodge.core.catalog.visible import is_seen, visible, visible_line
from gatelodge.core.trust.evidence import FoundFinding

LINT: Final = "lint/1"
MOST_FINDINGS: Final = 200
_MOST_STRINGS: Final = 20_000
_MOST_BYTES: Final = 1 << 20
_LONGEST: Final = 100_000
_QUOTE: Final = 120
_EMOJI: Final = frozenset("\u200d\ufe0e\ufe0f")
"""What joins and colours pictures, and is seen by that alone."""


class LintRule(Struct, frozen=True, kw_only=True):
    """One rule: what it is called, how severe what it finds is, why, and its OWASP entry."""

    name: str
    severity: Literal["high", "medium", "low"]
    why: str
    owasp: str
    forms: tuple[re.Pattern[str], ...] = ()


def _forms(*texts: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(each) for each in texts)


_SECRETS: Final = (
    r"(?:api[ _-]?keys?|passwords?|credentials?|private keys?|secrets?|access tokens?|"
    r"environment variables?|system prompt|(?:chat|conversation) (?:history|log)|"
    r"whole conversation)"
)
RULES: Final = (
    LintRule(
        name="hidden_characters",
        severity="high",
        why="it holds characters that a reader does not see, and a model does",
        owasp="MCP03",
    ),
    LintRule(
        name="lookalike_letters",
        severity="medium",
        why="letters of another script stand within Latin words",
        owasp="MCP03",
    ),
    LintRule(
        name="conceals_from_user",
        severity="high",
        why="it asks the model to keep something from the person",
        owasp="MCP03",
        forms=_forms(
            r"\b(?:do not|don't|never|must not|without|avoid)\b[^.]{0,40}\b(?:tell|telling|mention|"
            r"mentioning|inform|informing|reveal|revealing|notify|notifying|alert|alerting)\b"
            r"[^.]{0,40}\b(?:user|human|person|anyone|anybody|them|operator)\b",
            r"\b(?:secretly|silently|covertly|quietly)\b[^.]{0,30}\b(?:read|send|copy|call|add|"
            r"forward|include|upload|run)\b",
        ),
    ),
    LintRule(
        name="overrides_instructions",
        severity="high",
        why="it asks the model to set other instructions aside, or poses as one that may",
        owasp="MCP06",
        forms=_forms(
            r"\b(?:ignore|disregard|forget|override|bypass)\b[^.]{0,30}\b(?:previous|prior|earlier|"
            r"above|all|any|other|system|safety)\b[^.]{0,30}\b(?:instructions?|rules?|prompts?|"
            r"guidelines?|policies|policy)\b",
            r"<\s*/?\s*(?:important|system|secret|instructions?|admin|hidden|critical)\s*>",
            r"<\|(?:im_start|im_end|system|endoftext)\|>|\[/?(?:system|inst)\]",
        ),
    ),
    LintRule(
        name="reads_secrets",
        severity="high",
        why="it leads the model to keys or credentials of this machine",
        owasp="MCP01",
        forms=_forms(
            r"(?:^|[\s\"'`(/~])(?:\.ssh/|\.aws/|\.kube/config|\.netrc|\.npmrc|\.pypirc|"
            r"\.git-credentials|"
            r"id_(?:rsa|ed25519|ecdsa)\b|etc/shadow\b)",
            r"\b(?:read|open|cat|load|fetch|include|contents? of)\b.{0,40}(?:\.env\b|mcp\.json\b|"
            r"claude_desktop_config|\bssh key|\bprivate key)",
        ),
    ),
    LintRule(
        name="sends_away",
        severity="high",
        why="it asks the model to hand over what is not the tool's to have",
        owasp="MCP03",
        forms=_forms(
            r"\b(?:send|forward|post|upload|leak|transmit|email|bcc|exfiltrate)\b[^.]{0,60}\b"
            + _SECRETS,
            rf"\b(?:include|append|pass|put|copy|add|attach|supply)\b[^.]{{0,50}}\b{_SECRETS}"
            r"[^.]{0,60}\b(?:parameter|argument|field|sidenote|note|metadata|header|query)\b",
            r"\b(?:bcc|cc|copy|forward)\b[^.]{0,60}\b[\w.+-]{1,64}@[\w-]{1,64}\.[a-z]{2,12}\b",
        ),
    ),
    LintRule(
        name="steers_other_tools",
        severity="high",
        why="it tells the model how to use tools of other servers",
        owasp="MCP03",
        forms=_forms(
            r"\b(?:before|whenever|when|after|instead of)\b[^.]{0,20}\b(?:using|calling|running|"
            r"invoking|use|call)\b[^.]{0,20}\b(?:any|every|all|other|another)\b[^.]{0,12}\btools?\b",
            r"\bthis tool (?:replaces|supersedes|overrides)\b[^.]{0,60}\btools?\b",
        ),
    ),
    LintRule(
        name="names_other_tool",
        severity="medium",
        why="it names a tool of another server",
        owasp="MCP03",
    ),
    LintRule(
        name="annotation_lie",
        severity="medium",
        why="it says that it only reads or destroys nothing, and its name says otherwise",
        owasp="MCP02",
    ),
    LintRule(
        name="key_literal",
        severity="medium",
        why="it holds what looks like a key, for everybody to read",
        owasp="MCP01",
        forms=_forms(
            r"\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{30,100}|\bxox[abpr]-[A-Za-z0-9-]{10,100}",
            r"\bsk-[A-Za-z0-9_-]{24,200}|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----",
        ),
    ),
    LintRule(
        name="secret_default",
        severity="medium",
        why="a parameter that is a secret by its name has a value of its own",
        owasp="MCP01",
    ),
    LintRule(
        name="same_name",
        severity="low",
        why="a tool of another server has the same name, or one that reads alike",
        owasp="MCP03",
    ),
    LintRule(
        name="unreadable",
        severity="medium",
        why="it is no definition of a tool",
        owasp="MCP03",
    ),
    LintRule(
        name="encoded_text",
        severity="medium",
        why="it holds a long run of encoded bytes",
        owasp="MCP03",
        forms=_forms(r"[A-Za-z0-9+/]{160,}={0,2}", r"(?:\\x[0-9a-f]{2}){24,}"),
    ),
    LintRule(
        name="too_long",
        severity="medium",
        why="it is longer than anybody reads, and was not looked through whole",
        owasp="MCP10",
    ),
)
_BY_NAME: Final = {each.name: each for each in RULES}
_RAW: Final = ("encoded_text", "key_literal")
"""Rules that look at the text as it stands."""
_MASKED: Final = ("key_literal", "secret_default")
"""Rules whose quote would show a secret."""
_SECRET_DEFAULT: Final = re.compile(
    r"(?:^|\.)[\w-]{0,60}(?:password|passwd|secret|token|api[_-]?key)[\w-]{0,60}\.default$",
    re.IGNORECASE,
)
_ENDS: Final = frozenset(("delete", "remove", "drop", "kill", "purge", "destroy", "wipe"))
_ACTS: Final = frozenset(
    (
        "write", "delete", "remove", "send", "exec", "execute", "run", "create", "update", "drop",
        "kill", "upload", "publish", "pay", "transfer", "move", "rename", "insert", "purge",
    )
)  # fmt: skip
_NAME: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
# With an end to each part and nothing before it, or one long word would cost its square.
_SYMBOL: Final = re.compile(r"(?<![\w-])[A-Za-z][A-Za-z0-9]{0,40}(?:[_-][A-Za-z0-9]{1,40}){1,8}")


def lint_definitions(
    tools: Sequence[str], instructions: str = "", others: Collection[str] = ()
) -> tuple[FoundFinding, ...]:
    """What is found in these definitions (JSON texts of tools, as sent) and instructions.

    `others` are names of tools of other servers. At most MOST_FINDINGS, the most severe first.
    """
    found: list[FoundFinding] = []
    own, left = set(), _MOST_BYTES
    parsed = [_tool_of(each) for each in tools]
    own = {str(each.get("name", "")) for each in parsed}
    foreign = {each for each in others if _SYMBOL.fullmatch(each)} - own
    for place, (tool, where, text) in enumerate(_strings_of(parsed, instructions)):
        left -= len(text)
        if left < 0 or place >= _MOST_STRINGS:
            found.append(_finding("too_long", tool, where, text))
            break
        found += _findings_of(tool, where, text, foreign)
    found += [
        _finding("annotation_lie", str(each.get("name", "")), "annotations", str(each["name"]))
        for each in parsed
        if _lies(each)
    ]
    found += [_finding("unreadable", "", "the whole", text) for text in tools if _is_no_tool(text)]
    alike = {_alike(each) for each in others}
    found += [_finding("same_name", each, "name", each) for each in own if _alike(each) in alike]
    order = ("high", "medium", "low")
    once = {(each.rule, each.tool, each.field): each for each in found}
    most = sorted(once.values(), key=lambda each: order.index(each.severity))
    return tuple(most[:MOST_FINDINGS])


def _findings_of(
    tool: str, where: str, text: str, foreign: Collection[str]
) -> Iterator[FoundFinding]:
    if len(text) > _LONGEST:
        yield _finding("too_long", tool, where, text)
        text = text[:_LONGEST]
    unseen = [each for each in text if not _is_read(each)]
    if unseen:
        at = text.index(unseen[0])
        yield _finding("hidden_characters", tool, where, text[max(0, at - 40) : at + 40])
    if not text.isascii() and visible(text) != "".join(
        each if is_seen(each) or each == "\n" else f"<U+{ord(each):04X}>" for each in text
    ):
        yield _finding("lookalike_letters", tool, where, text)
    plain = _folded(text)
    for rule in RULES:
        hit = next(
            (m for form in rule.forms if (m := form.search(_subject(rule, plain, text)))), None
        )
        if hit is not None:
            yield _finding(rule.name, tool, where, hit[0])
    if text and _SECRET_DEFAULT.search(where[-200:]):
        yield _finding("secret_default", tool, where, text)
    named = next((each for each in _SYMBOL.findall(text) if each in foreign), "") if foreign else ""
    if named and where != "name":
        yield _finding("names_other_tool", tool, where, named)


def _subject(rule: LintRule, plain: str, text: str) -> str:
    return text if rule.name in _RAW else plain


def _is_read(letter: str) -> bool:
    return is_seen(letter) or letter in "\n\r\t" or letter in _EMOJI or letter.isspace()


def _folded(text: str) -> str:
    """The words as a model reads them, in one spelling: no disguise, one line, small letters."""
    bare = "".join(each for each in text if is_seen(each) or each.isspace())
    return " ".join(unicodedata.normalize("NFKC", bare).casefold().split())


def _finding(rule: str, tool: str, where: str, quote: str) -> FoundFinding:
    about = _BY_NAME[rule]
    return FoundFinding(
        rule=rule,
        severity=about.severity,
        tool=visible_line(tool[:_QUOTE]),
        field=visible_line(where[:_QUOTE]),
        quote=f"{len(quote)} characters" if rule in _MASKED else visible_line(quote[:_QUOTE]),
        why=about.why,
        owasp=about.owasp,
    )


def _lies(tool: dict[str, Any]) -> bool:
    hints = tool.get("annotations")
    if not isinstance(hints, dict):
        return False
    words = [each.lower() for each in _NAME.findall(str(tool.get("name", ""))[:_QUOTE])][:1]
    reads = hints.get("readOnlyHint") is True and any(each in _ACTS for each in words)
    return reads or (hints.get("destructiveHint") is False and any(each in _ENDS for each in words))


def _alike(name: str) -> str:
    """A name without what a reader passes over."""
    return re.sub(r"[-_. ]", "", _folded(name[:_QUOTE]))


def _tool_of(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_with_doubles)
    except (ValueError, RecursionError):
        return {"name": "", "description": text}
    return found if isinstance(found, dict) else {"name": "", "description": text}


def _is_no_tool(text: str) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return True
    return not isinstance(found, dict) or not isinstance(found.get("name"), str)


def _with_doubles(members: list[tuple[str, Any]]) -> dict[Any, Any]:
    """The members by name; one whose name stands again is kept, since a client may read either."""
    found: dict[Any, Any] = {}
    for key, each in members:
        if key in found:
            # By a number, which no name in JSON can be.
            found[len(found)] = {key: found[key]}
        found[key] = each
    return found


def _strings_of(
    tools: Iterable[dict[str, Any]], instructions: str
) -> Iterator[tuple[str, str, str]]:
    """Each string with its tool and its path; of the instructions the tool is empty."""
    if instructions:
        yield "", "instructions", instructions
    for tool in tools:
        name = str(tool.get("name", ""))
        stack: list[tuple[str, Any]] = [("", tool)]
        while stack:
            where, value = stack.pop()
            if isinstance(value, str):
                yield name, where, value
            else:
                stack += reversed(list(_members_of(where, value)))


def _members_of(where: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What stands in a value, each with its path; of a schema the names of parameters too."""
    if isinstance(value, list):
        yield from ((f"{where}[{at}]", each) for at, each in enumerate(value))
    if isinstance(value, dict):
        for key, each in value.items():
            at = f"{where}.{key}" if where else str(key)
            # The name of a parameter is read by a model like any other word.
            if where.endswith("properties"):
                yield f"{at} (its name)", str(key)
            yield at, each
