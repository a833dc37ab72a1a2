"""`gatelodge token`: what members and agents show at the gate; a new one is printed once."""

import click

from gatelodge.cli.nouns import commands
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Invalid
from gatelodge.flows.admin import tokens

token = commands(tokens.token)


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
def create(terminal: CommandRun, member: str, agent: str, label: str, days: int | None) -> None:
    """Issue a token and print it, once; only its keyed digest is kept."""
    if bool(member) == bool(agent):
        raise Invalid("give exactly one of --member and --agent")
    gate = terminal.gate
    body: dict[str, object] = {"label": label}
    body |= {"member": member} if member else {"agent": agent}
    # Left out when nobody said it: the token then ends with the one that it is issued with, if that
    # is sooner.
    if days is not None:
        body["days"] = days
    made = gate.post(gate.here("tokens"), body)
    ends, parent = made["expires_at"], made["parent"]
    if parent:
        ends += f", or with the token {parent} that you issued it with"
    terminal.show_token(
        made,
        f"Shown once; it ends {ends}. Header: Authorization: Bearer TOKEN\n"
        f"Take it back: gatelodge token revoke {made['id']}",
    )
