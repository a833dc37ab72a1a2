"""Values that stood in files, set at the gate: by whoever asked for it, and never shown."""

from collections.abc import Iterator, Mapping

from gatelodge.cli.fleet.reading import SecretMarks
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Conflict
from gatelodge.core.fleet.proposal import FleetProposal, SecretWanted


def send_values(
    terminal: CommandRun,
    proposal: FleetProposal,
    addresses: Mapping[str, str],
    marks: SecretMarks,
) -> None:
    """Set each value that one secret has; a value that is there stays. Raises what setting does."""
    terminal.need_running_gate()
    gate = terminal.gate
    for wanted in proposal.secrets:
        for holder, mark in _values(wanted, addresses):
            body = {
                "member": holder,
                "agent": "",
                "own": False,
                "looks": False,
                "value": marks.value(mark),
                "rotate": False,
            }
            whose = f" of {holder}" if holder else ""
            try:
                gate.post(gate.here("secrets", wanted.name, "value"), body)
            except Conflict:
                terminal.say(f"{wanted.name}{whose} has a value already, which stays.")
            else:
                terminal.say(f"{wanted.name}{whose} is set.")


def _values(wanted: SecretWanted, addresses: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if wanted.mode == "shared":
        # Of several values nobody here can say which is to be everybody's.
        if len(set(wanted.marks.values())) == 1:
            yield "", next(iter(wanted.marks.values()))
        return
    for owner, mark in sorted(wanted.marks.items()):
        if owner in addresses:
            yield addresses[owner], mark
