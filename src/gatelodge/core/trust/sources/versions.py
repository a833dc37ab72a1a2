"""The order of versions, as each ecosystem has it: PEP 440 for PyPI, SemVer 2.0 for npm."""

from typing import Any, Literal

import semver
from packaging.version import InvalidVersion, Version

Ecosystem = Literal["pypi", "npm"]
MOST_LETTERS = 128
"""Of a version; what is longer is none."""


def version_order(ecosystem: Ecosystem, text: str) -> Any:
    """What compares as versions of that ecosystem do; None for a text that is no version there.

    Any: two libraries, each with a class of its own; values of two ecosystems never meet.
    """
    if len(text) > MOST_LETTERS:
        return None
    try:
        return Version(text) if ecosystem == "pypi" else semver.Version.parse(text)
    except (InvalidVersion, ValueError, TypeError):
        return None


def release_numbers(order: Any) -> tuple[int, ...]:
    """The numbers of a version in its order, without what stands behind them."""
    if isinstance(order, Version):
        return order.release
    return (order.major, order.minor, order.patch)


def is_preview(order: Any) -> bool:
    """True for what comes before its release: alpha, beta, candidates, builds of developers."""
    return order.is_prerelease if isinstance(order, Version) else bool(order.prerelease)


def same_version(ecosystem: Ecosystem, one: str, other: str) -> bool:
    """True when both texts mean the same version there (`1.0` and `1.0.0` of PyPI)."""
    if one == other:
        return True
    left, right = version_order(ecosystem, one), version_order(ecosystem, other)
    if ecosystem == "npm" or left is None or right is None:
        return False  # two builds of one SemVer version compare as equal, and are two
    return bool(left == right)
