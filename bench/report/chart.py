"""The bar chart: calls a second of every target, one panel for each number of connections."""

from collections.abc import Iterator
from html import escape

from bench.results import Results

WIDTH = 760
LABEL, VALUE = 150, 150  # room left and right of the bars
BAR, STEP, HEAD = 16, 24, 34

# Plain colours with a second set for dark readers: not every viewer of SVG knows CSS variables.
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1c2024 }
  .head { font-weight: 600 }
  .quiet { fill: #60646c }
  .paper { fill: #fff }
  .bar { fill: #8da4b8 }
  .ours { fill: #0d74ce }
  @media (prefers-color-scheme: dark) {
    text { fill: #edeef0 }
    .quiet { fill: #b0b4ba }
    .paper { fill: #111113 }
    .bar { fill: #5a6b7b }
    .ours { fill: #3b9eff }
  }
"""


def _bars(results: Results, connections: int) -> list[tuple[str, float, float | None]]:
    bars = []
    for subject in results.subjects:
        rps = results.middle(subject.name, connections, "rps")
        if rps is not None:
            bars.append((subject.name, rps, results.ratio(subject.name, "nginx", connections)))
    return bars


def _value(rps: float, by_nginx: float | None) -> str:
    return f"{rps:,.0f}" + ("" if by_nginx is None else f" ({by_nginx:.2g} x nginx)")


def _panel(results: Results, connections: int, top: int) -> Iterator[str]:
    plural = "s" if connections > 1 else ""
    yield f'<text class="head" x="12" y="{top + 18}">{connections} connection{plural}</text>'
    bars = _bars(results, connections)
    most = max((rps for _, rps, _ in bars), default=1)
    for place, (name, rps, by_nginx) in enumerate(bars):
        y = top + HEAD + place * STEP
        long = max(1.0, rps / most * (WIDTH - LABEL - VALUE - 20))
        kind = "ours" if name.startswith("gatelodge") else "bar"
        yield f'<text x="{LABEL - 8}" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
        yield f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{long:.1f}" height="{BAR}" rx="2"/>'
        shown = escape(_value(rps, by_nginx))
        yield f'<text class="quiet" x="{LABEL + long + 8:.1f}" y="{y + 13}">{shown}</text>'


def chart(results: Results) -> str:
    """Give the picture as SVG; it follows the reader's light or dark setting."""
    top = 40
    parts: list[str] = []
    for connections in results.connections:
        parts += _panel(results, connections, top)
        top += HEAD + len(_bars(results, connections)) * STEP + 12
    title = "Calls a second through each gateway, target on one core"
    box = f'viewBox="0 0 {WIDTH} {top}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{title}">',
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{top}"/>',
            f'<text class="head" x="12" y="26">{title}</text>',
            *parts,
            "</svg>",
            "",
        ]
    )
