"""Definitions as a person reads them before saying yes: whole, with nothing hidden in them."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import msgspec

from gatelodge.cli import output
from gatelodge.core.catalog.visible import visible, visible_line
from gatelodge.core.errors import Conflict, NotFound

if TYPE_CHECKING:
    from gatelodge.cli.client import GateClient

SAY = "Say --digest with each digest that was read, or --yes to take whatever is there now."
_TEXTS = ("title", "description")
_PARTS = ("inputSchema", "outputSchema", "annotations", "execution", "icons", "_meta")


def chosen(
    gate: "GateClient", server: str, patterns: Iterable[str], standings: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """The tools of a server that these names and globs mean, in its order.

    `standings` are those that a glob may find; a name finds its tool in any. Raises NotFound for a
    name or glob that finds none.
    """
    tools = list(gate.every(gate.here("tools"), server=server))
    names = {tool["name"] for tool in tools}
    found: set[str] = set()
    for pattern in patterns:
        # The name of a tool may look like a glob, and then means that tool alone.
        if pattern in names:
            found.add(pattern)
            continue
        matched = {each["name"] for each in tools if fnmatchcase(each["name"], pattern)}
        if not matched:
            text = f"the server {server} has no tool {pattern!r}"
            raise NotFound(text, remedy=f"See: gatelodge tool list --server {server}")
        # A glob that matches only tools of another standing is no mistake, and finds none of them.
        wanted = {each["name"] for each in tools if not standings or each["standing"] in standings}
        found |= matched & wanted
    return [tool for tool in tools if tool["name"] in found]


def only_reviewed(
    reviewed: Sequence[str], due: Mapping[str, str], known: Iterable[str] = ()
) -> None:
    """Return where all that is due, by what it is called, has a digest that somebody reviewed.

    `known` are digests that are there too, and need no word. Raises Conflict for what was not
    reviewed, and for a reviewed digest that nothing has any more.
    """
    # Both ways: what nobody read is refused, and so is a digest that meant something that is gone.
    unread = [f"{name} is {digest}" for name, digest in due.items() if digest not in reviewed]
    there = {*due.values(), *known}
    lost = [f"nothing is {digest}" for digest in reviewed if digest not in there]
    if unread or lost:
        raise Conflict(
            "not what was reviewed, so nothing was changed: " + "; ".join(unread + lost),
            remedy="Read it: gatelodge tool diff, tool show, server show; then name its digest.",
        )


def whole(detail: dict[str, Any]) -> str:
    """One tool: what stands of it, its last definition, and the approved one where it differs."""
    tool = detail["tool"]
    name, listed = visible_line(tool["name"]), visible_line(tool["shown"])
    lines = [
        f"{tool['server']}/{name}  (shown as {listed})",
        output.fields(_summary_fields(tool)),
        *(f"NOT LISTED: {output.clean(each)}" for each in tool["unfit"]),
        "",
        _format_definition("definition", detail["definition"]),
    ]
    approved = detail["approved_definition"]
    if approved is not None and approved != detail["definition"]:
        lines += ["", _format_definition("approved definition", approved)]
        lines += ["", "What differs:", *compared(detail["differences"])]
    elif approved is not None:
        lines += ["", "This is the approved definition."]
    return "\n".join(lines)


def differences(found: dict[str, Any], server: str, names: Iterable[str] = ()) -> str:
    """What of a server (or of these tools) is not as approved."""
    said = proposal(found, names)
    if not said:
        return f"{server} offers exactly what was approved."
    return f"{said}\n\nApprove: gatelodge server approve {server}"


def proposal(found: dict[str, Any], names: Iterable[str] = ()) -> str:
    """What is not as approved, for whoever is asked: definitions whole or against the old ones.

    Without names it is all of a server, its instructions too.
    """
    wanted = set(names)
    lines: list[str] = []
    for each in found["changes"]:
        if wanted and each["name"] not in wanted:
            continue
        lines += [
            "",
            f"{visible_line(each['name'])}: {_describe_standing(each)}  {each['digest']}",
        ]
        if each["approved_definition"] is None:
            lines += [
                f"  {line}" for line in _format_definition("", each["definition"]).splitlines()
            ]
        elif each["standing"] != "gone":
            lines += compared(each["differences"])
            # Whoever says yes would else approve what a long comparison left out.
            if each["differences"]["cut"]:
                lines += ["  the whole definition:"]
                lines += [
                    f"  {line}" for line in _format_definition("", each["definition"]).splitlines()
                ]
    return "\n".join(lines + ([] if wanted else _instruction_lines(found["instructions"]))).strip(
        "\n"
    )


def compared(found: dict[str, Any]) -> list[str]:
    """The lines of a comparison: words and places that went (-), came (+) or changed (~)."""
    lines = []
    for text in found["texts"]:
        lines.append(f"  ~ {visible_line(text['where'])}")
        lines += [f"      - {visible_line(words)}" for words in text["removed"]]
        lines += [f"      + {visible_line(words)}" for words in text["added"]]
    for sign, places in (("-", found["removed"]), ("+", found["added"])):
        lines += [
            f"  {sign} {visible_line(at)}: {_format_json_value(what)}"
            for at, what in places.items()
        ]
    for at, (old, new) in found["changed"].items():
        lines.append(
            f"  ~ {visible_line(at)}: {_format_json_value(old)} -> {_format_json_value(new)}"
        )
    return lines + (["  ... and more"] if found["cut"] else [])


def _instruction_lines(told: dict[str, Any]) -> list[str]:
    if told["standing"] in ("none", "approved"):
        return []
    lines = ["", f"instructions to every session: {told['standing']}  {told['digest']}"]
    if told["standing"] == "new":
        return lines + [f"  {line}" for line in visible(told["text"]).splitlines()]
    lines += [f"  - {visible_line(words)}" for words in told["differences"]["removed"]]
    return lines + [f"  + {visible_line(words)}" for words in told["differences"]["added"]]


def _describe_standing(change: dict[str, Any]) -> str:
    if change["standing"] == "pinned":
        return "pinned; it looks otherwise now, and is shown as it was approved"
    return str(change["standing"])


def _summary_fields(tool: dict[str, Any]) -> list[tuple[str, object]]:
    words = ("standing", "digest", "approved", "reviewed", "read_only", "destructive", "open_world")
    return [*((word, tool[word]) for word in words), ("its own hints", tool["hints"])]


def _format_definition(head: str, definition: dict[str, Any]) -> str:
    lines = [f"{head}:"] if head else []
    for name in _TEXTS:
        text = definition.get(name)
        if isinstance(text, str):
            first, *more = visible(text).split("\n")
            # Indented, or a text of several lines could pass for further members of the definition.
            lines += [f"{name}: {first}", *(f"    {line}" for line in more)]
    rest = [name for name in definition if name not in ("name", *_TEXTS, *_PARTS)]
    # Members that nobody here knows are shown too: the digest is of them all.
    for name in (*_PARTS, *_TEXTS, *rest):
        value = definition.get(name)
        if name in definition and not (name in _TEXTS and isinstance(value, str)):
            lines.append(f"{visible_line(name)}: {visible(output.as_json(value))}")
    return "\n".join(lines)


def _format_json_value(text: str) -> str:
    shown = visible_line(text)
    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return shown
    return visible(output.as_line(value))
