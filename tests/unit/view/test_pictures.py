"""A picture shows what it is given, is bounded, and nothing in it runs."""

from datetime import datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from gatelodge.core.pictures import heat_map as maps
from gatelodge.core.pictures import timeline as lines
from gatelodge.core.pictures.heat_map import heat_map
from gatelodge.core.pictures.hours import CallsOfHour, calls_chart
from gatelodge.core.pictures.timeline import TimelineSpan, access_timeline, timeline

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</text></svg><svg onload=alert(1)>",
    "]]>&amp;&bogus;",
    "bell \x07 nul \x00",
    "right \u202e to left",
)
NOW = "2026-11-30T10:00:00.000000Z"
KNOWN = {"svg", "title", "text", "rect", "path", "g"}
LOOKS = (
    {"class", "role", "width", "height", "viewBox", "x", "y", "rx", "d", "transform", "opacity"}
    | {"fill", "fill-opacity", "stroke", "stroke-dasharray"}
    | {"font-family", "font-size", "font-weight", "text-anchor"}
)


def span(row: str, began: str = "2026-11-01", ended: str = "") -> TimelineSpan:
    at = "T10:00:00.000000Z"
    return TimelineSpan(row=row, began=began + at, ended=ended and ended + at)


def parts(svg: str) -> list[ET.Element]:
    """Its elements: it is XML as a file is, of nothing but shapes, words and looks."""
    found = [*ET.fromstring(svg).iter()]
    for each in found:
        assert each.tag.removeprefix("{http://www.w3.org/2000/svg}") in KNOWN, each.tag
        assert set(each.keys()) <= LOOKS, each.attrib
    return found


def texts(svg: str) -> str:
    return "\n".join(each.text or "" for each in parts(svg))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_words(name: str) -> None:
    drawn = heat_map({(name, name): (1, 2)}, name, name)
    shown = access_timeline([span(name)], NOW, name)
    for svg in (drawn, shown):
        told = texts(svg)
        assert "\u202e" not in svg
        assert name[:5] in told
        assert "<script" not in svg
        assert "<img" not in svg


def test_a_heat_map_tells_by_figures_who_may_use_how_much() -> None:
    counts = {
        ("ada@example.test", "time"): (2, 2),
        ("ada@example.test", "github"): (3, 9),
        ("bob@example.test", "time"): (0, 2),
    }
    told = texts(heat_map(counts, "Who", "A figure counts."))
    for text in ("ada@example.test, github: 3 of 9", "3/9", "2/2", "bob@example.test", "A figure"):
        assert text in told, text
    assert "0/2" not in told
    assert "are drawn" not in told
    assert "nothing to draw" in texts(heat_map({}, "Who", "A figure counts."))


def test_a_timeline_has_a_bar_for_each_time_and_a_point_where_it_lasts() -> None:
    svg = timeline(
        [span("time/now", "2026-11-01", "2026-11-10"), span("time/now", "2026-11-20")], NOW, "Ada"
    )
    told = texts(svg)
    assert "time/now: from 2026-11-01 10:00 until 2026-11-10 10:00" in told
    assert "time/now: from 2026-11-20 10:00 on" in told
    assert [each.tag[-4:] for each in parts(svg)].count("path") == 1
    assert "nothing to draw" in texts(access_timeline([], NOW, "ada@example.test"))


def test_a_large_picture_is_cut_and_says_how_much_of_it_is_drawn() -> None:
    crowd = {(f"p{i}@example.test", f"s{j}"): (9999, 9999) for i in range(400) for j in range(50)}
    svg = heat_map(crowd, "W" * 999, "A figure counts.")
    told = texts(svg)
    assert f"Only the first {maps.MOST_ROWS} of 400 rows are drawn." in told
    assert f"Only the first {maps.MOST_COLUMNS} of 50 columns are drawn." in told
    assert len(svg) < 1_000_000
    many = [span(f"t{i % 90}", f"2026-0{1 + i % 9}-01") for i in range(5000)]
    svg = timeline(many, NOW, "Ada")
    told = texts(svg)
    assert f"Only the newest {lines.MOST_BARS} of 5000 times are drawn." in told
    assert len(svg) < 300_000


def test_a_time_before_the_first_or_after_now_is_drawn_within_the_picture() -> None:
    svg = timeline([span("a", "2026-11-30"), span("b", "2027-05-01", "2027-05-02")], NOW, "Ada")
    for each in parts(svg):
        x, wide = float(each.get("x", 0)), float(each.get("width", 0))
        assert 0 <= x <= x + wide <= 940, each.attrib


@pytest.mark.parametrize(
    ("began", "first", "distance"),
    [
        ("2026-11-16T10:00:00.000000Z", "2026-11-18", 3),
        ("2026-11-26T03:20:00.000000Z", "2026-11-27", 1),
    ],
)
def test_a_date_of_a_timeline_stands_at_its_midnight(began: str, first: str, distance: int) -> None:
    svg = timeline([TimelineSpan(row="a", began=began, ended="")], NOW, "Ada")
    dates = [each for each in parts(svg) if each.text and len(each.text) == 10]
    assert dates[0].text == first
    start, end = datetime.fromisoformat(began), datetime.fromisoformat(NOW)
    for at, each in enumerate(dates):
        then = datetime.fromisoformat(f"{first}T00:00:00+00:00") + timedelta(days=distance * at)
        assert each.text == then.date().isoformat()
        assert float(each.get("x", 0)) == pytest.approx(
            240 + 640 * ((then - start) / (end - start)), abs=0.1
        )


def test_a_chart_of_calls_tells_hours_scale_and_how_calls_ended() -> None:
    hours = [
        CallsOfHour(
            at=f"2026-11-{29 + at // 24}T{at % 24:02}:00:00.000000Z", ok=ok, denied=2, failed=1
        )
        for at, ok in enumerate([40] * 10 + [0] * 26 + [97])
    ]
    hours.append(
        CallsOfHour(at="2026-11-30T13:00:00.000000Z", ok=0, denied=0, failed=0, counted=False)
    )
    svg = calls_chart(hours, "Calls <of> the house")
    told = texts(svg).split("\n")
    assert "Calls <of> the house" in told
    assert {"ok", "denied", "failed", "not counted yet"} <= {*told}
    assert {"0", "20", "40", "60", "80", "100"} <= {*told}
    assert {"2026-11-29", "2026-11-30", "00:00", "12:00"} <= {*told}
    assert "2026-11-30 12:00: 97 ok, 2 denied, 1 failed" in told
    assert "2026-11-30 13:00: not counted yet" in told
    for each in parts(svg):
        x, y = float(each.get("x", 0)), float(each.get("y", 0))
        assert 0 <= x <= x + float(each.get("width", 0)) <= 856, each.attrib
        assert 0 <= y <= y + float(each.get("height", 0)) <= 344, each.attrib
    parts(calls_chart([], "Nobody"))
