"""Evidence of real packages, by hand, as a company's mirror gave it in November 2026."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from gatelodge.core.ids import Instant
from gatelodge.core.instant import parse_rfc3339
from gatelodge.core.trust.evidence import (
    FoundFinding,
    IndexEvidence,
    InterfaceEvidence,
    LaunchEvidence,
    PackageEvidence,
    RepositoryEvidence,
    StartEvidence,
    TrustEvidence,
)

NOW = parse_rfc3339("2026-11-22T12:00:00Z")


def at(day: str) -> Instant:
    """Noon of a day."""
    return parse_rfc3339(f"{day}T12:00:00Z")


def python_server(name: str, day: str, commits: int, people: int, tools: tuple[int, ...]) -> Any:
    """A reference server of Python: the mirror has owners and advisories, git a snapshot."""
    return TrustEvidence(
        subject=f"pypi:{name}@{day}",
        at=NOW,
        launch=_launch(exact=True),
        package=_package(name, "mcp<3", license="MIT"),
        index=IndexEvidence(
            source="index",
            at=NOW,
            released_at=at(day),
            lifecycle="active",
            publishers=("org",),
            vulnerabilities=(),
        ),
        repository=_repository(commits, people),
        start=_start("2026-07-28"),
        interface=_interface(*tools),
    )


def node_server(day: str, commits: int, people: int, tools: tuple[int, ...]) -> Any:
    """A reference server of Node: its index says neither who nor whether it is deprecated."""
    found = python_server("node", day, commits, people, tools)
    index = IndexEvidence(source="index", at=NOW, released_at=at(day))
    return replace(found, index=index, start=_start("2025-11-25"))


def _launch(*, exact: bool) -> LaunchEvidence:
    return LaunchEvidence(source="definition", at=NOW, exact=exact)


def _package(name: str, sdk: str, **more: Any) -> PackageEvidence:
    said: dict[str, Any] = {
        "server_name": f"io.github.org/{name}",
        "repository": "https://code.example/org/servers",
        "digests": ("sha256:" + "1" * 64,),
        "packages": 30,
        "locked": True,
        **more,
    }
    return PackageEvidence(source="package", at=NOW, sdk=sdk, **said)


def _repository(commits: int, people: int) -> RepositoryEvidence:
    return RepositoryEvidence(
        source="git mirror",
        at=NOW,
        url="https://code.example/org/servers",
        head_at=NOW,
        commits_90=commits,
        half_of_year=people,
        names_package=True,
        security_policy=True,
    )


def _start(revision: str) -> StartEvidence:
    return StartEvidence(source="start", at=NOW, started=True, revision=revision, milliseconds=900)


def _interface(tools: int, annotated: int, parameters: int, described: int) -> InterfaceEvidence:
    return InterfaceEvidence(
        source="definitions",
        at=NOW,
        definitions="2" * 64,
        tools=tools,
        annotated=annotated,
        parameters=parameters,
        described=described,
        bytes=4_000,
        lint="lint/1",
    )


_UNREAD: Mapping[str, Any] = {"repository": None}
_UNSEEN: Mapping[str, Any] = {"start": None, "interface": None}
_TIME = python_server("time", "2026-10-19", 20, 5, (2, 2, 3, 3))
_PLAYWRIGHT = replace(node_server("2026-11-10", 30, 3, (25, 25, 40, 40)), **_UNREAD)

TEN = {
    "mcp-server-time": (_TIME, "A", 82),
    "mcp-server-fetch": (python_server("fetch", "2026-10-24", 20, 5, (1, 1, 4, 4)), "A", 82),
    "mcp-server-git": (python_server("git", "2026-10-19", 20, 5, (12, 12, 28, 6)), "A", 82),
    "server-filesystem": (node_server("2026-08-31", 20, 3, (14, 14, 25, 7)), "B", 67),
    "server-everything": (node_server("2026-08-31", 20, 1, (13, 13, 10, 10)), "B", 67),
    "playwright": (_PLAYWRIGHT, "B", 54),
    "playwright@latest": (replace(_PLAYWRIGHT, launch=_launch(exact=False)), "C", 54),
    "context7": (replace(_PLAYWRIGHT, **_UNSEEN, repository=_repository(30, 2)), "?", 47),
    "server-github": (
        replace(
            _PLAYWRIGHT,
            **_UNSEEN,
            index=IndexEvidence(source="index", at=NOW, released_at=at("2025-04-08")),
            package=_package("github", "^1", server_name="", license="MIT"),
        ),
        "?",
        34,
    ),
    "mcp-server-sqlite": (
        replace(
            python_server("sqlite", "2025-04-25", 0, 0, (6, 0, 8, 8)),
            **_UNREAD,
            package=_package("sqlite", "mcp[cli]>=1.6.0", repository="", license="MIT"),
            start=StartEvidence(source="start", at=NOW, started=False, why="ImportError"),
        ),
        "D",
        70,
    ),
    "time with five poisoned tools": (
        replace(
            _TIME,
            interface=replace(
                _interface(7, 7, 8, 8),
                findings=tuple(
                    FoundFinding(
                        rule="hidden_instruction",
                        severity="high",
                        tool=f"tool_{number}",
                        field="description",
                        why="it asks for secrets",
                    )
                    for number in range(5)
                ),
            ),
        ),
        "F",
        82,
    ),
}
"""By name: evidence, the grade, and the coverage in per cent."""
