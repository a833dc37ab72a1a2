"""A time that an index gives counts only while nothing speaks against it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core.instant import parse_rfc3339
from gatelodge.core.trust.sources.times import doubt_of_time

DAY = 86_400 * 1_000_000
NOW = parse_rfc3339("2026-11-22T12:00:00Z")


def doubt(ecosystem, version, days):
    times = {text: parse_rfc3339(f"{day}T00:00:00Z") for text, day in days.items()}
    return doubt_of_time(ecosystem, version, times[version], times, NOW)


@pytest.mark.parametrize(
    ("ecosystem", "version", "days", "word"),
    [
        # As a mirror gave them for a server of Node, whose version is of April 2025.
        ("npm", "2025.4.8", {"0.6.2": "2026-04-02", "2025.4.8": "2025-10-12"}, "names a date"),
        ("npm", "2025.0.8", {"0.6.2": "2026-04-02", "2025.0.8": "2025-10-12"}, "reverse"),
        ("pypi", "1.2.3", {"1.2.3": "2026-01-01", "1.2.2": "2026-02-01"}, "reverse"),
        ("pypi", "1.2", {"1.2": "2026-03-01", "1.2.1": "2026-02-01"}, "reverse"),
        ("pypi", "1.2", {"1.2": "2027-03-01"}, "future"),
        ("npm", "1.0.0", {f"{n}.0.0": "2026-03-01" for n in range(4)}, "one time"),
        ("pypi", "2024.2", {"2024.2": "2026-03-01"}, "names a date"),
        # Nothing speaks against these; where version and time agree, the others' times are odd.
        ("npm", "2025.10.8", {"0.6.2": "2026-04-02", "2025.10.8": "2025-10-12"}, ""),
        ("npm", "2025.4.8", {"0.6.2": "2025-01-02", "2025.4.8": "2025-04-09"}, ""),
        ("pypi", "4.2", {"4.1.13": "2026-05-01", "4.2": "2026-04-01"}, ""),
        ("pypi", "2024.2", {"2024.1": "2024-02-01", "2024.2": "2024-09-01"}, ""),
        ("pypi", "2024.12.0", {"2024.12.0": "2024-12-20"}, ""),
        ("pypi", "1.2.3", {"1.2.3": "2026-01-01", "1.2.3rc1": "2026-02-01"}, ""),
        ("pypi", "none at all", {"none at all": "2026-01-01", "1" * 200: "2026-02-01"}, ""),
        ("npm", "1.2.3", {"1.2.3": "2026-01-01", "junk": "2026-02-01", "2": "2020-01-01"}, ""),
    ],
)
def test_what_speaks_against_a_time(ecosystem, version, days, word):
    found = doubt(ecosystem, version, days)
    assert word in found if word else not found


@given(
    st.lists(st.tuples(*[st.integers(0, 30)] * 3), min_size=1, max_size=8, unique=True),
    st.sampled_from(["npm", "pypi"]),
    st.data(),
)
def test_releases_in_the_order_of_their_versions_are_never_in_doubt(versions, ecosystem, data):
    texts = [".".join(map(str, each)) for each in sorted(versions)]
    times = {text: NOW - (400 - number) * DAY for number, text in enumerate(texts)}
    version = data.draw(st.sampled_from(texts))
    assert not doubt_of_time(ecosystem, version, times[version], times, NOW)


@given(st.text(max_size=20), st.text(max_size=20), st.integers(0, 10**16), st.integers(0, 10**16))
def test_no_text_breaks_it(one, other, at, other_at):
    for ecosystem in ("npm", "pypi"):
        doubt_of_time(ecosystem, one, at, {one: at, other: other_at}, NOW)
