"""The commands of a declared noun: `list`, `show`, and one for each verb; thin over its routes."""

from collections.abc import Callable
from shlex import quote
from string import Formatter
from types import SimpleNamespace
from typing import Any, Literal, get_args, get_origin

import click

from gatelodge.cli import lazy, output
from gatelodge.cli.receipt import show_changes, show_receipt
from gatelodge.cli.terminal import CommandRun, present
from gatelodge.core.catalog.visible import visible, visible_line
from gatelodge.flows.nouns.noun import Noun, NounVerb, VerbInput

Does = Callable[..., Any]


class _ToldFormatter(Formatter):
    """Formats what is told: `{x:quoted}` fits a shell, `{x:count}` is how many there are.

    `{x:or nothing}` is the word for what is empty. No value brings what a terminal obeys.
    """

    def format_field(self, value: Any, format_spec: str) -> Any:
        """The value as the specification says."""
        if format_spec == "quoted":
            return quote(visible_line(str(value)))
        if format_spec == "count":
            return str(len(value))
        return output.clean(value) if value else format_spec.removeprefix("or ")


def commands(noun: Noun[Any]) -> click.Group:
    """The group of a noun's commands."""
    made = lazy.group(noun.name, noun.about)
    made.add_command(_list_command(noun))
    # Rows below others are named several at once, by patterns, and are shown before they are
    # approved: those commands are written by hand.
    if noun.below is None:
        made.add_command(_show_command(noun))
        for verb in noun.verbs:
            made.add_command(_verb_command(noun, verb))
    return made


def _list_command(noun: Noun[Any]) -> click.Command:
    # What is revoked stays as a row, where it is not removed.
    ends = any(each.name == "revoke" and not each.removes for each in noun.verbs)

    def run(terminal: CommandRun, *, everything: bool = True, **above: str) -> None:
        gate = terminal.gate
        rows = gate.every(gate.here(noun.plural), **above)
        shown = present(rows, everything=everything) if ends else rows
        empty = noun.empty_below.format(*above.values()) if any(above.values()) else noun.empty
        terminal.rows(shown, noun.columns, empty)

    does: Does = click.pass_obj(run)
    does = lazy.everyone(does) if ends else does
    if noun.below is not None:
        above, says = noun.below, f"Only this {noun.below.name}'s."
        does = click.option(f"--{above.name}", default="", metavar=above.called, help=says)(does)
    return click.command("list", cls=lazy.JsonCommand, help=noun.listing)(does)


def _show_command(noun: Noun[Any]) -> click.Command:
    def run(terminal: CommandRun, name: str) -> None:
        gate = terminal.gate
        found = gate.get(gate.here(noun.plural, name))
        terminal.show(found, lambda it: output.fields(it.items()))

    does = click.argument("name", metavar=noun.called)(click.pass_obj(run))
    return click.command("show", cls=lazy.JsonCommand, help=f"Show one {noun.name}.")(does)


def _verb_command(noun: Noun[Any], verb: NounVerb) -> click.Command:
    def run(terminal: CommandRun, **given: Any) -> None:
        gate = terminal.gate
        path = [noun.plural] if verb.makes else [noun.plural, given["name"]]
        if not verb.makes and not verb.removes:
            path.append(verb.name)
        sent = [each.name for each in verb.inputs] + ["why"] * bool(verb.why)
        body = {name: given["name_" if name == "name" else name] for name in sent}
        # What contradicts itself is refused before a gate is looked for, or a house is opened.
        verb.check(SimpleNamespace(**body))

        def ask(*, dry_run: bool) -> Any:
            if verb.removes:
                # A DELETE carries no body here, so what is said of it stands in the query.
                return gate.delete(gate.here(*path), dry_run=dry_run, **body)
            return gate.post(gate.here(*path), body, dry_run=dry_run)

        # Before the question: looking first is what that question advises.
        if given.get("dry_run"):
            show_changes(terminal, ask(dry_run=True))
            return
        if verb.asks:
            remedy = f"Say --yes, or look first: {verb.look.format(**given)}"

            def look() -> None:
                gate.get(gate.here(noun.plural, given["name"]))

            question = verb.asks.format(**given)
            terminal.sure(question, yes=given["yes"], remedy=remedy, look=look)
        made = ask(dry_run=False)
        if verb.ends:
            show_receipt(terminal, made, given["name"])
        else:
            terminal.show(made, lambda it: _told(verb, given | it))

    does = _with_options(click.pass_obj(run), noun, verb)
    return click.command(verb.name, cls=lazy.JsonCommand, help=verb.about)(does)


def _told(verb: NounVerb, done: dict[str, Any]) -> str:
    told = verb.told
    if isinstance(told, str):
        return _ToldFormatter().vformat(told, (), done)
    return visible(told(done))


def _with_options(does: Does, noun: Noun[Any], verb: NounVerb) -> Does:
    """The function with its command line: the row, what it needs, what it may be given."""
    if verb.asks:
        does = lazy.yes(does)
    if verb.tries:
        does = lazy.dry_run(does)
    if verb.why:
        needed: dict[str, Any] = {"required": True} if verb.why == "must" else {"default": ""}
        does = click.option("--why", help=lazy.WHY, **needed)(does)
    for each in reversed(verb.inputs):
        does = _parameter_decorator(each)(does)
    return does if verb.makes else click.argument("name", metavar=noun.called)(does)


def _parameter_decorator(given: VerbInput) -> Callable[[Does], Does]:
    # What people call the row is `name` already.
    name = "name_" if given.name == "name" else given.name
    kind, wording, word = given.type, given.wording, given.wording.word or None
    choice = click.Choice(get_args(kind)) if get_origin(kind) is Literal else None
    if given.needed and not (given.by and given.by.option):
        return click.argument(
            name, type=choice, metavar=word or (None if choice else given.name.upper())
        )
    more: dict[str, Any] = {"required": True} if given.needed else {"default": given.default}
    option = f"--{wording.option or given.name.replace('_', '-')}"
    if kind is bool:
        more["is_flag"] = True
    else:
        more |= {"type": choice or wording.read, "metavar": word, "show_default": bool(choice)}
    return click.option(option, name, help=wording.says, **more)
