"""Values that stood in files, set at the gate: by whoever asked for it, and never shown."""

from collections.abc import Iterator, Mapping

from gatelodge.cli.fleet.reading import SecretMarks
from gatelodge.cli.terminal import CommandRun
from gatelodge.core.errors import Conflict, NotFound
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
    for wanted in (*proposal.secrets_there, *proposal.secrets):
        try:
            mode = gate.get(gate.here("secrets", wanted.name))["mode"]
        except NotFound:
            terminal.say(f"{wanted.name} is not there: apply the proposal first.")
            continue
        if mode == "shared" and len(set(wanted.marks.values())) > 1:
            terminal.say(f"{wanted.name}: several values were found; set the one that is meant.")
        for holder, mark in _values(wanted, mode, addresses):
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


def _values(
    wanted: SecretWanted, mode: str, addresses: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    if mode == "shared":
        # Of several values nobody here can say which is to be everybody's.
        if len(set(wanted.marks.values())) == 1:
            yield "", next(iter(wanted.marks.values()))
        return
    for owner, mark in sorted(wanted.marks.items()):
        if mode == "member" and owner in addresses:
            yield addresses[owner], mark
