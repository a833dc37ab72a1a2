"""Sections of the page that are measured alone, and kept when the rest is measured again."""

from pathlib import Path


def write_section(page: Path, title: str, section: str) -> None:
    """Put a section in the place of the one of that title, or at the end of the page."""
    text = page.read_text()
    before, found, rest = text.partition(f"{title}\n")
    behind = rest.partition("\n## ")[2] if found else ""
    parts = [before.rstrip(), section.rstrip(), f"## {behind}".rstrip() if behind else ""]
    page.write_text("\n\n".join(filter(None, parts)) + "\n")
