"""The Markdown page."""

from collections.abc import Iterator

from bench.report.goals import goals
from bench.report.view import ViewFigures, section
from bench.results import Results, Subject, middle

COLUMNS = (
    "target",
    "calls/s",
    "x direct",
    "x nginx",
    "p50 ms",
    "p99 ms",
    "CPU µs/call",
    "PSS MiB",
    "cold start s",
    "runs (bad)",
)


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _small(value: float | None) -> str:
    """Keep two figures of a ratio that may be far below one."""
    if value is None:
        return ""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def _row(results: Results, subject: Subject, connections: int) -> str:
    name = subject.name
    if subject.missing is not None:
        return f"| `{name}` | not measured: {subject.missing} |" + " |" * (len(COLUMNS) - 2)
    if connections > subject.most_connections:
        reason = f"slow: loaded with {subject.most_connections} connections at most"
        return f"| `{name}` | {reason} |" + " |" * (len(COLUMNS) - 2)
    rows = results.rows(name, connections)
    cells = (
        f"`{name}`",
        _cell(results.middle(name, connections, "rps"), ",.0f"),
        _small(results.ratio(name, "direct", connections)),
        _small(results.ratio(name, "nginx", connections)),
        _cell(results.middle(name, connections, "p50"), ".3f"),
        _cell(results.middle(name, connections, "p99"), ".2f"),
        _cell(results.middle(name, connections, "cpu_us"), ",.0f"),
        _cell(results.middle(name, connections, "pss_mib"), ",.0f"),
        "" if name == "direct" else _cell(results.cold_start(name), ".2f"),
        f"{len(rows)} ({sum(row.bad for row in rows)})",
    )
    return f"| {' | '.join(cells)} |"


def _table(results: Results, connections: int) -> Iterator[str]:
    yield f"### {connections} connection{'s' if connections > 1 else ''}"
    yield ""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---|" + "---:|" * (len(COLUMNS) - 1)
    for subject in results.subjects:
        yield _row(results, subject, connections)
    yield ""


def _who(results: Results) -> Iterator[str]:
    yield "| target | version | what it does for a call |"
    yield "|---|---|---|"
    for subject in results.subjects:
        yield f"| `{subject.name}` | {subject.version} | {subject.title} |"
    yield ""


def _machine(results: Results) -> Iterator[str]:
    found = results.machine
    yield f"- {found.cpu}, {found.cores} cores, {found.memory_gib:.0f} GiB; Linux {found.kernel}"
    yield f"- {found.python}; disk {found.disk}"
    commit = middle(c.p50 for c in results.commits)
    worst = middle(c.p99 for c in results.commits)
    if commit is not None and worst is not None:
        yield (
            "- a bare commit (512 bytes written into a zero-filled file, then fdatasync): "
            f"{commit:.3f} ms at the median, {worst:.3f} ms at the 99th percentile"
        )
    yield ""


def _head(results: Results) -> Iterator[str]:
    legacy = "" if results.era == "legacy" else "; ContextForge speaks the legacy era"
    delay = f" after {results.delay_ms} ms" if results.delay_ms else ""
    yield "# Performance"
    yield ""
    yield f"Written by `make bench` on {results.taken}. Do not edit."
    yield ""
    yield (
        "The target's processes run on one core, the load generator and the upstream on the "
        "other. Every connection sends its next `tools/call` when the last was answered. An "
        "answer counts when its status is 200, it bears the id that was sent, and it is no "
        f"error; the others are the bad ones. Rounds: {results.rounds}, interleaved, of "
        f"{results.seconds:g} s for every target and number of connections (longer for a slow one, "
        f"so that each connection sees several answers), {results.era} era{legacy}; the upstream "
        f"answers with {results.answer_bytes} bytes{delay}. Medians over the rounds. A ratio is "
        "the median of the rounds' ratios. CPU time and memory (proportional set size) are the "
        "whole process tree's; a cold start "
        "lasts until the first good answer. `direct` shows the stub's own CPU time and memory."
    )
    yield ""


def _failures(results: Results) -> Iterator[str]:
    if results.failures:
        yield "What failed in this run:"
        yield ""
        for failure in results.failures:
            yield f"- `{failure.target}`: {failure.what}"
        yield ""


def page(results: Results, view: ViewFigures | None) -> str:
    """Give the page; a figure that was not measured is left blank."""
    lines = [*_head(results), *_machine(results), *_who(results)]
    lines += ["![Calls a second](performance.svg)", "", "## Goals", ""]
    lines += ["| goal | limit | measured | |", "|---|---:|---:|---|"]
    lines += [goal.row() for goal in goals(results)]
    lines += ["", "## Figures", ""]
    for connections in results.connections:
        lines += _table(results, connections)
    lines += [*_failures(results), *section(view)]
    return "\n".join(lines).rstrip() + "\n"
