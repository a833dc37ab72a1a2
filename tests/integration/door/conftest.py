"""The gate that the endpoint's tests share."""

from tests.stage import stage

__all__ = ["stage"]
