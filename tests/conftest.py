"""Fixtures that every room's tests may ask for."""

from tests.postgres import own_postgres_url, postgres_url

__all__ = ["own_postgres_url", "postgres_url"]
