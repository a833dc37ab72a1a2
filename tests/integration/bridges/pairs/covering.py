"""Which cases of client, server and method are run each time: few, that cover each pair of them.

A fault that shows with one client, one server or one method alone is met by any case that has it;
one that needs two of them together is met by a case that has both. So `make slow` runs few cases
that cover each pair, and `make weekly` runs the others.
"""

from collections.abc import Hashable, Sequence
from itertools import combinations
from typing import Any

import pytest

BY_FORM, BY_PAGE = "elicitation/create: form", "elicitation/create: url"
"""The two ways in which a person is asked."""

about = pytest.mark.about
"""The methods and questions that a test is about; without it, the test is about itself."""


def covering(cases: Sequence[frozenset[Hashable]]) -> frozenset[int]:
    """The places of few cases that together cover what all of them do; the same each time."""
    missing = frozenset[Hashable]().union(*cases)
    chosen = set()
    while missing:
        best = max(range(len(cases)), key=lambda place: len(cases[place] & missing))
        chosen.add(best)
        missing -= cases[best]
    return frozenset(chosen)


def pairs(
    test: str, parameters: dict[str, Any], *, methods: Sequence[str], eras: tuple[str, str]
) -> frozenset[Hashable]:
    """What one case covers.

    Each two of client, server and method; and the test with its client's era, with its server's,
    and with each other parameter.
    """
    rest = dict(parameters)
    client, server = ("client", rest.pop("kind")), ("server", rest.pop("alias"))
    values = (client, server, *(("method", each) for each in methods or [test]))
    seen = {("era of the client", eras[0]), ("era of the server", eras[1]), *rest.items()}
    return frozenset((*combinations(values, 2), *((test, each) for each in seen)))


def marked(
    items: Sequence[pytest.Item], modern_clients: Sequence[str], modern_servers: Sequence[str]
) -> None:
    """Mark as `weekly` each case that the pairwise set can do without.

    A test that proves a promise is left whole, and so is one that has no client or no server as a
    parameter. The set is that of the items which were collected: of one file alone it is another.
    """
    crossed = [item for item in items if _is_crossed(item)]
    covered = []
    for item in crossed:
        mark, given = item.get_closest_marker("about"), _parameters(item)
        eras = (
            "modern" if given["kind"] in modern_clients else "legacy",
            "modern" if given["alias"] in modern_servers else "legacy",
        )
        test = item.nodeid.partition("[")[0]
        covered.append(pairs(test, given, methods=mark.args if mark else (), eras=eras))
    kept = covering(covered)
    for place, item in enumerate(crossed):
        if place not in kept:
            item.add_marker(pytest.mark.weekly)


def _is_crossed(item: pytest.Item) -> bool:
    proves = item.get_closest_marker("guarantee") is not None
    return not proves and {"kind", "alias"} <= _parameters(item).keys()


def _parameters(item: pytest.Item) -> dict[str, Any]:
    spec = getattr(item, "callspec", None)
    return {} if spec is None else dict(spec.params)
