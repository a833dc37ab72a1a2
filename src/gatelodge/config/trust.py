"""The method of the trust score that this release has, from its file."""

import tomllib
from functools import cache
from importlib.resources import files

import msgspec

from gatelodge.core.trust.method import TrustMethod, check_method


@cache
def trust_method() -> TrustMethod:
    """The method `trust/1`. Raises Invalid for a file that does not hold together."""
    text = files("gatelodge.config").joinpath("trust-1.toml").read_text("utf-8")
    return check_method(msgspec.convert(tomllib.loads(text), TrustMethod))
