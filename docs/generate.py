"""Write the generated pages: reference and guarantees, from the code they describe.

`python docs/generate.py` writes them; `tests/house/test_docs.py` compares what is committed. A page
is a function that returns text, so that both do the same.
"""

import ast
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from inspect import cleandoc, getsource
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import click
import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from docs import facts, lint, prose, roles, trust  # noqa: E402
from tests.guarantees import GUARANTEES  # noqa: E402
from tests.test_guarantees import cited  # noqa: E402

from gatelodge.cli import main, output  # noqa: E402
from gatelodge.config import schema  # noqa: E402
from gatelodge.core.catalog.server import Wait  # noqa: E402
from gatelodge.core.errors import HouseError  # noqa: E402
from gatelodge.core.records import leaf, leaves  # noqa: E402
from gatelodge.core.records.governance import GovKind  # noqa: E402
from gatelodge.flows.admin.declared import spelling  # noqa: E402
from gatelodge.flows.admin.declared.tables import TABLES  # noqa: E402
from gatelodge.web.problems import ANSWERS  # noqa: E402
from gatelodge.web.telemetry.families import FAMILIES  # noqa: E402

MADE = "<!-- Made by docs/generate.py; write there, not here. -->"


def settings() -> str:
    """Every setting with type, default and meaning."""
    lines = [MADE, prose.SETTINGS]
    for section, kind in _sections():
        lines += ["", f"## {f'[{section}]' if section else 'Top level'}"]
        lines += ["", cleandoc(kind.__doc__ or "")]
        for setting in _settings(kind):
            key = f"{section}.{setting.name}" if section else setting.name
            default = msgspec.json.encode(setting.default).decode()
            lines += ["", f"### `{key}`", "", " ".join(setting.text.split())]
            lines += ["", f"{_range(setting.hint)}; default `{default}`."]
    return _page(lines)


def errors() -> str:
    """Every error with what is answered for it."""
    lines = [MADE, prose.ERRORS]
    for kind in _tree(HouseError):
        answer = ANSWERS.get(kind)
        told = (answer.status, answer.rpc, answer.exit) if answer else ("", "", "")
        row = [f"`{kind.code}`", _first(kind), *map(str, told)]
        lines.append("| " + " | ".join(row) + " |")
    lines += ["", "## What to do", ""]
    for kind in _tree(HouseError):
        if kind.default_remedy:
            lines.append(f"- `{kind.code}`: {kind.default_remedy}")
    return _page(lines)


def records() -> str:
    """Every leaf of the calls logs."""
    lines = [MADE, prose.RECORDS]
    for name, kind in leaves.LEAVES.items():
        lines += ["", f"## `{name}`", "", cleandoc(kind.__doc__ or "")]
        lines += ["", "| field | type | meaning |", "|---|---|---|"]
        needed, hints = _always_there(kind), get_type_hints(kind)
        for field in kind.__struct_fields__:
            absent = "" if field in needed else ", may be absent"
            meaning = leaves.MEANINGS[field]
            lines.append(f"| `{field}` | {_plain(hints[field])}{absent} | {meaning} |")
        for field, hint in hints.items():
            if get_origin(hint) is Literal:
                choices = ", ".join(f"`{choice}`" for choice in get_args(hint))
                lines += ["", f"`{field}` is one of {choices}."]
    lines += ["", "## Pairs", ""]
    lines += [
        f"- `{opening}` is closed by {' or '.join(_closers(field))} of the same `{field}`."
        for opening, field in leaves.OPENS.items()
    ]
    lines.append("- Every other record opens and closes at once.")
    return _page(lines)


def gov_records() -> str:
    """Every leaf of the gov log."""
    lines = [MADE, prose.GOV_RECORDS]
    recorded = facts.subjects()
    for kind in get_args(GovKind):
        fields = ", ".join(f"`{name}`" for name in recorded.get(kind, ()))
        known = kind in recorded or kind == "log.opened"
        shown = fields or ("" if known else "not written in this release")
        lines.append(f"| `{kind}` | {prose.GOV[kind]} | {shown} |")
    return _page(lines)


def records_schema() -> str:
    """The JSON Schema (2020-12) of the leaves of the calls logs."""
    kinds = list(leaves.LEAVES.values())
    refs, components = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    for name, kind in leaves.LEAVES.items():
        shape = components[kind.__name__]
        shape["required"] = _always_there(kind)
        for field, said in shape["properties"].items():
            said["description"] = leaves.MEANINGS[field]
            if field in shape["required"]:
                said.pop("default", None)
        shape["properties"]["t"]["const"] = name
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A leaf of a gatelodge calls log",
        "oneOf": list(refs),
        "$defs": components,
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def commands() -> str:
    """Every command with its options."""
    lines = [MADE, prose.COMMANDS]
    lines += [f"| {code} | {meaning} |" for code, meaning in output.EXIT_CODES]
    settings = {**main.root.context_settings, "terminal_width": 96}
    with click.Context(main.root, info_name="gatelodge", **settings) as context:
        for path, command in _commands(main.root, context):
            lines += ["", f"## `{path}`", "", "```text"]
            with click.Context(command, info_name=path, **settings) as inner:
                lines += [command.get_help(inner).rstrip(), "```"]
    return _page(lines)


def metrics() -> str:
    """Every metric of `/metrics` that is ours."""
    lines = [MADE, prose.METRICS]
    for each in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        lines.append(f"| `{each.shown}` | {each.kind} | {labels} | {each.says} |")
    return _page(lines)


def openapi() -> str:
    """The OpenAPI document of the admin API."""
    from gatelodge.web.api.context import AdminContext
    from gatelodge.web.api.routes import assembled

    # The document depends on the settings only; nothing behind the gate is asked.
    ports = dict.fromkeys(AdminContext.__struct_fields__)
    gate = AdminContext(**{**ports, "settings": schema.Settings()})  # type: ignore[arg-type]
    document = assembled(gate, local=False).openapi_schema.to_schema()
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"


def declared() -> str:
    """Every table of the file that `gatelodge apply` takes."""
    lines = [MADE, prose.APPLY, "", "## Top level", "", "| key | what |", "|---|---|"]
    lines.append("| `workspace` | Text: its slug, so that a file never lands in another one. |")
    for table in TABLES:
        kind = table.entry
        lines += ["", f"## [[{table.section}]]", "", cleandoc(kind.__doc__ or "")]
        lines += ["", "| key | what | if left out |", "|---|---|---|"]
        hints = get_type_hints(kind, include_extras=True)
        for field in msgspec.structs.fields(kind):
            default = "an error" if field.required else f"`{_default(field)}`"
            lines.append(f"| `{field.name}` | {_taken(hints[field.name])} | {default} |")
    return _page(lines)


def guarantees() -> str:
    """Every promise with its state and its tests."""
    proofs = cited()
    kept = {name: g for name, g in GUARANTEES.items() if g.since}
    lines = [MADE, prose.GUARANTEES, ""]
    lines.append(f"{len(kept)} of {len(GUARANTEES)} are kept in this release.")
    for name, promise in GUARANTEES.items():
        lines += ["", f"## {name}", "", promise.says, "", f"Source: {promise.source}.", ""]
        if promise.since:
            lines += [f"Kept since {promise.since}. Proved by:", ""]
            lines += [f"- `{test}`" for test in sorted(set(proofs.get(name, [])))]
        else:
            lines.append(f"**Not yet.** {promise.missing}")
    return _page(lines)


def roles_and_routes() -> str:
    """Every route, and which role may ask it."""
    return _page([MADE, *roles.lines()])


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/roles.md": roles_and_routes,
    "docs/guarantees.md": guarantees,
    "docs/reference/apply.md": declared,
    "docs/reference/cli.md": commands,
    "docs/reference/errors.md": errors,
    "docs/reference/gov-records.md": gov_records,
    "docs/reference/metrics.md": metrics,
    "docs/reference/openapi.json": openapi,
    "docs/reference/records.md": records,
    "docs/reference/records.schema.json": records_schema,
    "docs/reference/settings.md": settings,
    "docs/reference/lint.md": lint.lint_page,
    "docs/reference/trust.md": trust.trust_page,
}


class _Setting(msgspec.Struct):
    name: str
    hint: Any
    default: Any
    text: str


def _sections() -> Iterator[tuple[str, type[msgspec.Struct]]]:
    """The top level, then each section by its name in the file."""
    yield "", schema.Settings
    for name, hint in get_type_hints(schema.Settings).items():
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield name, hint


def _settings(section: type[msgspec.Struct]) -> Iterator[_Setting]:
    """The settings of a section, each with the string that stands under it in the source."""
    tree = ast.parse(cleandoc("\n" + getsource(section)))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef))
    texts = {
        ast.unparse(field.target): str(after.value.value)
        for field, after in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }
    defaults = section()
    for name, hint in get_type_hints(section, include_extras=True).items():
        default = getattr(defaults, name)
        if not isinstance(default, msgspec.Struct):
            yield _Setting(name, hint, default, texts.get(name, ""))


def _range(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "One of " + ", ".join(f"`{choice}`" for choice in get_args(hint))
    if get_origin(hint) is Annotated:
        kind, bounds = get_args(hint)
        number = "A whole number" if kind is int else "A number"
        if bounds.gt is not None:
            return f"{number} above {bounds.gt:,}, up to {bounds.le:,}"
        return f"{number}, {bounds.ge:,} to {bounds.le:,}"
    return {str: "Text", bool: "`true` or `false`"}.get(hint, "A list of texts")


def _default(field: msgspec.structs.FieldInfo) -> str:
    """What stands for a key that is left out."""
    made = field.default_factory
    value = field.default if made is msgspec.NODEFAULT else made()
    return "never" if value is None else msgspec.json.encode(value).decode()


def _taken(hint: Any) -> str:
    """What a key of the file of `gatelodge apply` may hold."""
    if hint in (spelling.PrincipalReference, spelling.GranteeReference):
        of_grants = hint == spelling.GranteeReference
        return "`member:EMAIL`, `agent:NAME`" + ", `group:NAME`, `everyone`" * of_grants
    kinds = [each for each in get_args(hint) if each not in (..., type(None))]
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in kinds)
    if get_origin(hint) is tuple:
        return f"a list: {_taken(kinds[0])}"
    if get_origin(hint) is dict:
        return "a table of texts"
    if kinds and datetime in (kinds[0], *get_args(kinds[0])):
        return "a time with its zone, `2026-12-01T18:00:00Z`"
    words = {str: "text", bool: "`true` or `false`", int: "a number", float: "a number"}
    return (words | {Wait: "seconds; 0 = as the settings say"})[hint]


def _tree(kind: type[HouseError]) -> Iterator[type[HouseError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def _first(kind: type) -> str:
    return cleandoc(kind.__doc__ or "").splitlines()[0]


def _plain(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "text"
    kinds = [k for k in get_args(hint) or (hint,) if k is not type(None)]
    return {str: "text", int: "integer", bool: "true or false"}[kinds[0]]


def _always_there(kind: type[msgspec.Struct]) -> list[str]:
    """The fields that every leaf of this type has."""
    fields = msgspec.structs.fields(kind)
    return [f.name for f in fields if f.default is msgspec.NODEFAULT or f.type is leaf.Later]


def _closers(field: str) -> list[str]:
    return [f"`{name}`" for name, closes in leaves.CLOSES.items() if closes == field]


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    yield context.command_path, group
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        with click.Context(command, info_name=name, parent=context) as inner:
            if isinstance(command, click.Group):
                yield from _commands(command, inner)
            else:
                yield inner.command_path, command


def _page(lines: list[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    for path, make in PAGES.items():
        target = ROOT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(make(), "utf-8")
