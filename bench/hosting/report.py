"""The section of the page about hosted servers; it is kept when the rest is measured again."""

import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from bench import sections
from bench.hosting.calls import CONNECTIONS, Burst
from bench.hosting.kinds import HostedKind
from bench.hosting.starts import OneStart
from bench.machine import Machine

TITLE = "## Hosted servers"
HEAD = (
    "| way | start ms | x bare | PSS MiB | group MiB | calls/s (1) | x process | CPU µs (1) "
    "| calls/s (32) | x process | CPU µs (32) | cold call ms |"
)


class HostingFigures(Struct, frozen=True):
    """Of each kind by its name; `absent` says why one has none. `loads` = averages of a minute."""

    taken: str
    machine: Machine
    loads: tuple[float, float]
    kinds: tuple[HostedKind, ...]
    absent: Mapping[str, str]
    starts: Mapping[str, list[OneStart]]
    bursts: Mapping[str, list[Burst]]
    cold: Mapping[str, list[float]]


def _middle(values: list[float], form: str = ",.0f") -> str:
    return format(statistics.median(values), form) if values else ""


def _beside(mine: list[float], other: list[float]) -> str:
    """The median of the rounds' ratios."""
    return _middle([a / b for a, b in zip(mine, other, strict=False) if b], ".2f")


def _row(found: HostingFigures, name: str) -> str:
    began = found.starts.get(name, [])
    bare = [each.ms for each in found.starts.get("bare", [])]
    ms = [each.ms for each in began]
    cells = [f"`{name}`", _middle(ms), _beside(ms, bare)]
    cells += [_middle([e.pss_mib for e in began], ".1f")]
    cells += [_middle([e.group_mib for e in began if e.group_mib], ".1f")]
    for connections in CONNECTIONS:
        mine = _bursts(found, name, connections)
        rates = [each.rps for each in mine]
        base = [each.rps for each in _bursts(found, "process", connections)]
        cells += [_middle(rates), _beside(rates, base), _middle([each.cpu_us for each in mine])]
    cells.append(_middle(found.cold.get(name, [])))
    return f"| {' | '.join(cells)} |"


def _bursts(found: HostingFigures, name: str, connections: int) -> list[Burst]:
    return [e for e in found.bursts.get(name, []) if e.connections == connections]


def _told(found: HostingFigures) -> Iterator[str]:
    rounds = len(found.starts.get("bare", []))
    bursts = max((len(each) for each in found.bursts.values()), default=0) // len(CONNECTIONS)
    cold = max(map(len, found.cold.values()), default=0)
    bad = sum(each.bad for all_of in found.bursts.values() for each in all_of)
    yield f"Written by `python -m bench hosting --write` on {found.taken}. Do not edit."
    yield ""
    yield (
        "One small Python server over stdio, run in each way in turn. A start lasts from the spawn "
        "to the first answer, without a gate; `bare` is the program alone. `PSS` is that of its "
        "processes on this machine, `group` what its control group counts. Calls go through a gate "
        "with strict durability, on one core with the servers; CPU is the gate's whole tree's, the "
        "server's included, counted in steps of 10 ms. PSS divides a page among those who share "
        "it, and the first two share theirs with every Python of this machine. A cold call finds a "
        "server that was ended for being idle. "
        f"{rounds} starts, {bursts} bursts and {cold} cold "
        "calls of each, alternating; medians, and medians of the rounds' ratios; "
        f"{bad} bad answers. Load averages of the machine before and after: "
        f"{found.loads[0]:.1f} and {found.loads[1]:.1f} on {found.machine.cores} cores, the "
        "benchmark's own work included: above that many, ratios say more than figures."
    )


def hosting_section(found: HostingFigures) -> str:
    """The section, which ends with an empty line."""
    lines = [TITLE, "", *_told(found), "", HEAD, "|---|" + "---:|" * 11]
    lines.append(_row(found, "bare"))
    for kind in found.kinds:
        absent = found.absent.get(kind.name)
        if absent is None:
            lines.append(_row(found, kind.name))
        else:
            lines.append(f"| `{kind.name}` | not measured: {absent} |" + " |" * 10)
    lines += ["", *(f"- `{kind.name}`: {kind.title}" for kind in found.kinds), ""]
    return "\n".join(lines)


def kept_section(page: Path) -> str:
    """What the page says of hosted servers; empty when it says nothing."""
    text = page.read_text() if page.exists() else ""
    _, found, rest = text.partition(f"{TITLE}\n")
    return f"{TITLE}\n{rest}" if found else ""


def write_section(page: Path, section: str) -> None:
    """Put the section into the page, in place of the one before."""
    sections.write_section(page, TITLE, section)
