"""`gatelodge catalog` and `card`: what is known of a package, before it may start."""

from collections.abc import Iterator
from typing import Any

import click

from gatelodge.cli import lazy, output
from gatelodge.cli.lazy import JsonCommand, yes
from gatelodge.cli.nouns import commands
from gatelodge.cli.rules.hosting import build_artifact, whole_source
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Forbidden
from gatelodge.core.hosting.source import is_source
from gatelodge.core.trust.method import GRADES
from gatelodge.flows.trust import cards

catalog = lazy.group("catalog", "What may be installed, and why.")
card = commands(cards.card)

_MARKS = {"pass": "+", "partial": "~", "fail": "-", "not_applicable": "/"}


@catalog.command("card", cls=JsonCommand)
@click.argument("source", metavar="SOURCE|IMAGE|ALIAS")
@click.option(
    "--fail-below",
    type=click.Choice(GRADES),
    default=None,
    help="End with an error when its grade is worse, or none: for pipelines.",
)
@click.option("--rebuild", is_flag=True, help="Fetch it again, whatever was built before.")
@click.pass_obj
def make_card(
    terminal: CommandRun, /, source: str, *, fail_below: str | None, rebuild: bool
) -> None:
    """Make the trust card of a package: fetched, laid out and looked at; nothing of it runs.

    SOURCE is what `server add` takes (pypi:NAME@VERSION, npm:, oci:, mcpb:, url:); an image by its
    digest, or a server by its alias, gets a new card of what it starts from.
    """
    gate = terminal.gate
    if is_source(source):
        wish = {"source": whole_source(source), "rebuild": rebuild}
        image = build_artifact(terminal, wish)["image"]
    else:
        image = _image_named(terminal, source)
    made = gate.post(gate.here("cards"), {"image": image})
    terminal.show(made, format_card)
    grade = made["card"]["grade"]
    order: list[str] = [*GRADES, "?"]
    if fail_below and order.index(grade) > order.index(fail_below):
        raise Forbidden(
            f"its grade is {grade}, and {fail_below} is asked for",
            remedy="See what lost points above.",
        )


@card.command("explain", cls=JsonCommand)
@click.argument("name", metavar="CARD")
@click.pass_obj
def explain(terminal: CommandRun, /, name: str) -> None:
    """Show a card whole, with every point of it, as it was when it was made."""
    found = terminal.gate.get(terminal.gate.here("cards", name, "whole"))
    terminal.show(found, format_card)


@card.command("approve", cls=JsonCommand)
@click.argument("name", metavar="CARD")
@click.option("--evidence", default="", metavar="SHA256", help="What was read, for scripts.")
@click.option("--days", type=click.IntRange(0, 3_650), default=0, help="How long it holds.")
@click.option("--why", default="", metavar="TICKET", help="Needed for a card of grade F.")
@yes
@click.pass_obj
def approve(terminal: CommandRun, /, name: str, evidence: str, **said: Any) -> None:
    """Approve what a card says, as it is shown here: the image may be started then.

    With --evidence for scripts: what was read is named by its digest, and another one is refused.
    """
    gate = terminal.gate
    found = gate.get(gate.here("cards", name, "whole"))
    terminal.say(f"{format_card(found)}\n")
    question = f"Let {found['card']['source']} start, by this evidence?"
    terminal.sure(
        question,
        yes=said["yes"] or bool(evidence),
        remedy="Say --yes, or name what you read: --evidence SHA256.",
    )
    wish = {
        "evidence": evidence or found["card"]["evidence"],
        "days": said["days"],
        "why": said["why"],
    }
    done = gate.post(gate.here("cards", found["card"]["id"], "approve"), wish)
    terminal.show(done, lambda it: f"{output.clean(it['source'])} may start{_until(it)}.")


def card_before_start(terminal: CommandRun, image: str, *, yes: bool) -> None:
    """Make the card of an image and show it, before anything of it starts; asks to approve it.

    Where nobody can be asked, and without `yes`, it stays a card: the gate then says whether what
    it describes may be started (`trust.require_card`). Raises Abort on no.
    """
    gate = terminal.gate
    made = gate.post(gate.here("cards"), {"image": image})
    terminal.say(f"{format_card(made)}\n")
    shape = made["card"]
    if not yes and (terminal.json or not output.on_terminal()):
        return
    terminal.sure(f"Let {output.clean(shape['source'])} start, by this evidence?", yes=yes)
    gate.post(gate.here("cards", shape["id"], "approve"), {"evidence": shape["evidence"]})


def _until(shape: dict[str, Any]) -> str:
    return f" until {shape['until'][:10]}" if shape["until"] else ""


def _image_named(terminal: CommandRun, text: str) -> str:
    """The image of a server, or the one of this digest."""
    if text.startswith("sha256:"):
        return text
    found = terminal.gate.get(terminal.gate.here("servers", text))
    image: str = found["transport"].get("image", "")
    if not image:
        raise Forbidden(
            f"{text} is not built from a package, so there is nothing to make a card of",
            remedy="A card is of what the gate hosts; see its tools: gatelodge server show.",
        )
    return image


def format_card(found: dict[str, Any]) -> str:
    """A card as a terminal shows it: the worst first, then each point, then what is not known."""
    seen = found["evidence"].get("interface") or {}
    lines = [*_lines_of_card(found["card"], found["score"])]
    for each in seen.get("findings", ()):
        where = f"{each.get('tool') or 'instructions'}: {each.get('field', '')}"
        told = f"{each['severity']} {each['rule']} ({output.clean(where)}): {each.get('why', '')}"
        lines.insert(-2, f"Finding: {told}: {output.clean(each.get('quote', ''))}")
    return "\n".join(lines)


def _lines_of_card(shape: dict[str, Any], score: dict[str, Any]) -> Iterator[str]:
    yield output.clean(shape["source"])
    yield (
        f"Grade {score['grade']}   score {score['score']:g}   known {score['coverage']} %   "
        f"between {score['low']} and {score['high']}   ({score['method']}, {shape['status']})"
    )
    yield output.clean(score["headline"])
    for each in score["gates"]:
        yield f"Gate: {output.clean(each['reason'])} {output.clean(each['fix'])}"
    reach = score["exposure"]
    if reach:
        yield "Exposure: " + ", ".join(
            f"{name} ({output.clean(why)})" for name, why in reach.items()
        )
    else:
        yield "Exposure: not known before its tools were seen."
    for family in score["families"]:
        yield ""
        known = f"{family['points']:g} of {family['known']} known points, of {family['max']}"
        yield f"{family['title']}: {known}"
        own = [each for each in score["signals"] if each["family"] == family["name"]]
        for each in own:
            if each["status"] != "unknown":
                yield from _lines_of_signal(each)
        yield from _lines_of_unknown([each for each in own if each["status"] == "unknown"])
    yield ""
    yield f"Evidence sha256 {shape['evidence']}"
    if shape["status"] == "made":
        yield f"Next: gatelodge card approve {shape['id']}"


def _lines_of_unknown(signals: list[dict[str, Any]]) -> Iterator[str]:
    """Those that nobody says anything of, under the reason that they share."""
    reasons: dict[str, list[dict[str, Any]]] = {}
    for each in signals:
        reasons.setdefault(each["why"], []).append(each)
    for why, those in reasons.items():
        names = ", ".join(each["id"] for each in those)
        fix = next((each["fix"] for each in those if each["fix"]), "")
        mend = f" {output.clean(fix)}" if fix else ""
        yield f"  ? {names}: not known. {output.clean(why)}{mend}"


def _lines_of_signal(each: dict[str, Any]) -> Iterator[str]:
    mark = _MARKS[each["status"]]
    points = f"{each['points']:g}/{each['max']}"
    stale = " (old)" if each["stale"] else ""
    seen = output.clean(each["seen"])
    yield f"  {mark} {each['id']} {points:>6}  {each['title']}: {seen}{stale}"
    if each["status"] != "pass":
        fix = f" {output.clean(each['fix'])}" if each["fix"] else ""
        yield f"               {output.clean(each['why'])}{fix}"
