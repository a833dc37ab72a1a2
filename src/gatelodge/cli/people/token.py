"""`gatelodge token`: what members and agents show at the gate."""

import click

from gatelodge.cli.lazy import WHY, everyone, group
from gatelodge.cli.receipt import show_receipt
from gatelodge.cli.terminal import Terminal, present
from gatelodge.core.errors import Invalid

token = group("token", "The tokens of members and agents.")


@token.command("create")
@click.option("--member", metavar="EMAIL", default="", help="For a person.")
@click.option("--agent", metavar="NAME", default="", help="For an agent.")
@click.option("--label", default="", help="Where it will be used, such as 'laptop'.")
@click.option(
    "--days",
    type=click.IntRange(1, 365),
    help="How long it is good: at most 90 for a person, 365 for an agent.",
)
@click.pass_obj
def create(terminal: Terminal, member: str, agent: str, label: str, days: int | None) -> None:
    """Issue a token and print it, once; only its keyed digest is kept."""
    if bool(member) == bool(agent):
        raise Invalid("give exactly one of --member and --agent")
    gate = terminal.gate
    body: dict[str, object] = {"label": label}
    body |= {"member": member} if member else {"agent": agent}
    if days is not None:
        body["days"] = days
    made = gate.post(gate.here("tokens"), body)
    if terminal.json:
        terminal.show(made, str)
        return
    # The token alone on standard output, so that it can be piped into a file.
    click.echo(made["token"])
    ends = f"{made['expires_at']}{_with(made['parent'])}"
    click.echo(
        f"Shown once; it ends {ends}. Header: Authorization: Bearer TOKEN\n"
        f"Take it back: gatelodge token revoke {made['id']}",
        err=True,
    )


@token.command("list")
@everyone
@click.pass_obj
def list_(terminal: Terminal, everything: bool) -> None:
    """List tokens by id; the tokens themselves are nowhere."""
    gate = terminal.gate
    terminal.rows(
        present(gate.every(gate.here("tokens")), everything=everything),
        ("id", "principal", "label", "last4", "status", "expires_at"),
        "No tokens yet. Issue one: gatelodge token create --member ada@example.com",
    )


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@click.option("--why", default="", help=WHY)
@click.pass_obj
def revoke(terminal: Terminal, token_id: str, why: str) -> None:
    """End one token, and those issued with it, at once; its holder's other tokens stay good."""
    gate = terminal.gate
    path = gate.here("tokens", token_id, "revoke")
    show_receipt(terminal, gate.post(path, {"why": why}), token_id)


def _with(parent: str) -> str:
    """With which token a token ends: the one it was issued with, if any."""
    return f", or with the token {parent} that you issued it with" if parent else ""
