"""Governance state in SQLite or PostgreSQL, by SQLAlchemy Core."""
