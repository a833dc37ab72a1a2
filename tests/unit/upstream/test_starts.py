"""How often one person has processes started, whatever their clients and agents declare."""

from gatelodge.core.access.rate_limit import SECONDS, RateLimit


def test_what_one_did_within_a_minute_counts_for_them_and_for_nobody_else():
    starts = RateLimit(2)
    for _ in range(2):
        assert starts.too_early("ada", 10.0) == 0
        starts.count("ada", 10.0)
    assert starts.too_early("ada", 20.0) == SECONDS - 10.0
    assert starts.too_early("bob", 20.0) == 0
    assert starts.too_early("ada", 10.0 + SECONDS) == 0


def test_without_a_limit_nothing_is_counted():
    starts = RateLimit(0)
    starts.count("ada", 1.0)
    assert starts.too_early("ada", 1.0) == 0
