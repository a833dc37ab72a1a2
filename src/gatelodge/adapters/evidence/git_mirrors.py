"""What the history of a server's source says, read from a bare mirror that somebody else keeps.

The program `git` is started by whoever is given (`GitProgram`): bounded in time and in what it
says. It reads objects only. Nothing of the repository's own settings runs a program, no hook is
known, no network is there, and nothing is written.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, Protocol

from msgspec import Struct
from packaging.utils import canonicalize_name

from gatelodge.adapters.evidence.fields import one_line
from gatelodge.core.errors import HouseError
from gatelodge.core.hosting.source import ArtifactSource
from gatelodge.core.ids import Instant
from gatelodge.core.trust.evidence import RepositoryEvidence
from gatelodge.core.trust.sources.repository import (
    DAY_SECONDS,
    MANIFESTS,
    YEAR_DAYS,
    AuthoredCommit,
    RepositoryPlace,
    count_commits,
    is_policy,
    names_itself,
    release_tag,
    repository_place,
)
from gatelodge.ports.trust.evidence import EvidenceGap, EvidenceSubject
from gatelodge.ports.world import Clock

GIT: Final = ("git", "--no-pager", "--literal-pathspecs")
QUIET: Final = (
    "core.fsmonitor=",
    "core.hooksPath=/dev/null",
    "core.pager=",
    "log.showSignature=false",
    "gpg.program=",
    "diff.external=",
    "protocol.allow=never",
)
"""What a repository's own settings could have git start or reach, set to nothing."""
ENVIRONMENT: Final = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": "/nonexistent",
}
SECONDS: Final = 20.0
_EACH_SECONDS: Final = 10.0
_MOST_COMMITS: Final = 20_000
_MOST_TAGS: Final = 20_000
_MOST_MANIFESTS: Final = 12
_MOST_KEPT: Final = 256
_STATE: Final = ("FETCH_HEAD", "packed-refs", "HEAD", "refs/heads", "refs/tags")
"""What is written when other commits come; the first of them by each fetch, and by nothing else."""
_MOST_SAID: Final = 4 << 20
"""Where a program's words are cut (`GitProgram`)."""


class ProgramOutcome(Protocol):
    """How a program ended, and the beginning of what it wrote."""

    @property
    def status(self) -> int:
        """Its exit status."""
        ...

    @property
    def output(self) -> bytes:
        """What it wrote, cut at a bound."""
        ...


class GitProgram(Protocol):
    """Runs a program to its end, in this directory and environment. Raises HouseError."""

    async def __call__(
        self, command: tuple[str, ...], cwd: Path, env: Mapping[str, str], seconds: float, /
    ) -> ProgramOutcome:
        """How it ended."""
        ...


class _GitFailed(Exception):
    """Git could not read it."""


class _FoundManifest(Struct, frozen=True):
    """Where the manifest stands that names the package; `known` when that could be said."""

    folder: str = ""
    names: bool | None = None


class GitMirrors:
    """Mirrors at `HOST/OWNER/NAME.git` below a directory, or None (`EvidenceSource`)."""

    def __init__(self, directory: Callable[[], Path | None], run: GitProgram, clock: Clock) -> None:
        self._directory = directory
        self._run = run
        self._clock = clock
        self._kept: OrderedDict[str, tuple[object, RepositoryEvidence]] = OrderedDict()
        self._few = asyncio.Semaphore(2)

    @property
    def section(self) -> Literal["repository"]:
        """The name of what it fills."""
        return "repository"

    async def gather(self, subject: EvidenceSubject) -> RepositoryEvidence | EvidenceGap:
        """What the history says of the package's source."""
        asked = self._mirror(subject)
        if isinstance(asked, EvidenceGap):
            return asked
        place, mirror = asked
        state = _state(mirror)
        known = self._kept.get(f"{mirror} {subject.source.text}")
        if known is not None and known[0] == state:
            return known[1]
        try:
            async with self._few, asyncio.timeout(SECONDS):
                found = await self._read(mirror, place, subject.source, state[0] or max(state))
        except TimeoutError:
            return EvidenceGap("Its mirror could not be read in time.")
        except (HouseError, _GitFailed) as fault:
            why = fault.detail if isinstance(fault, HouseError) else str(fault)
            return EvidenceGap(f"Its mirror could not be read: {one_line(why)}")
        self._kept[f"{mirror} {subject.source.text}"] = (state, found)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return found

    def _mirror(self, subject: EvidenceSubject) -> tuple[RepositoryPlace, Path] | EvidenceGap:
        directory = self._directory()
        if directory is None:
            return EvidenceGap("No mirrors of repositories are kept (trust.git_mirrors).")
        place = repository_place(subject.package.repository if subject.package else "")
        if place is None:
            return EvidenceGap("The package names no repository.")
        mirror = _mirror_of(directory, place)
        if mirror is None:
            why = f"{place.host}/{place.owner}/{place.name} is not mirrored"
            return EvidenceGap(f"{why} below trust.git_mirrors.")
        return place, mirror

    async def _read(
        self, mirror: Path, place: RepositoryPlace, source: ArtifactSource, fetched: int
    ) -> RepositoryEvidence:
        now = self._clock.now() // 1_000_000
        head = min(_number(await self._git(mirror, "log", "-1", "--format=%ct", "HEAD", "--")), now)
        tag, tagged = await self._tag(mirror, source)
        revision = f"refs/tags/{tag}" if tag else "HEAD"
        manifest = await self._manifest(mirror, revision, source)
        listed = await self._git(
            mirror, "ls-tree", "-r", "-z", "--name-only", "--full-tree", "HEAD"
        )
        files = [each.decode("utf-8", "replace") for each in listed.split(b"\0")]
        policy = any(is_policy(each, manifest.folder) for each in files)
        # Nobody worked on it since the mirror was fetched last, as far as anybody can know.
        until = max(head, min(fetched // 1_000_000, now))
        counts = count_commits(await self._commits(mirror, manifest.folder, until), until)
        return RepositoryEvidence(
            source=f"a mirror of {place.host}/{place.owner}/{place.name}",
            at=Instant(until * 1_000_000),
            url=place.url,
            head_at=Instant(head * 1_000_000),
            folder=one_line(manifest.folder),
            commits_30=counts.days_30,
            commits_90=counts.days_90,
            commits_365=counts.days_365,
            half_of_year=counts.half_of_year,
            names_package=manifest.names,
            tag=one_line(tag),
            tag_at=Instant(tagged * 1_000_000) if 0 < tagged <= now else None,
            security_policy=policy or (None if len(listed) >= _MOST_SAID else False),
        )

    async def _tag(self, mirror: Path, source: ArtifactSource) -> tuple[str, int]:
        """The tag of this version, and when it was made; empty for none."""
        if not source.version or source.pinned:
            return "", 0
        form = "--format=%(creatordate:unix) %(refname:strip=2)"
        said = await self._git(
            mirror,
            "for-each-ref",
            f"--count={_MOST_TAGS}",
            "--sort=-creatordate",
            form,
            "refs/tags",
        )
        times: dict[str, int] = {}
        for line in said.decode("utf-8", "replace").splitlines():
            at, _, name = line.partition(" ")
            times[name] = int(at) if at.isdigit() else 0
        tag = release_tag(tuple(times), source)
        return tag, times.get(tag, 0)

    async def _manifest(
        self, mirror: Path, revision: str, source: ArtifactSource
    ) -> _FoundManifest:
        """The manifest that names this package; of several the one that is nearest to the top."""
        names = MANIFESTS.get(source.kind)
        if names is None:
            return _FoundManifest()
        said = await self._git(
            mirror, "grep", "-l", "-z", "-I", "-i", "-E", "-e", _pattern(source), revision, "--",
            none=True, globs=names,
        )  # fmt: skip
        paths = [
            each.decode("utf-8", "replace").removeprefix(f"{revision}:")
            for each in said.split(b"\0")
            if each
        ]
        paths = sorted(paths, key=lambda it: (it.count("/"), it))
        for path in paths[:_MOST_MANIFESTS]:
            body = await self._git(mirror, "cat-file", "blob", f"{revision}:{path}")
            if names_itself(path, body.decode("utf-8", "replace"), source):
                return _FoundManifest(path.rpartition("/")[0], names=True)
        # Where more could not be looked at, nothing was said about them.
        return _FoundManifest(names=None if len(paths) > _MOST_MANIFESTS else False)

    async def _commits(self, mirror: Path, folder: str, until: int) -> list[AuthoredCommit]:
        since = until - YEAR_DAYS * DAY_SECONDS
        said = await self._git(
            mirror,
            "log",
            "--use-mailmap",
            "--no-show-signature",
            "--no-merges",
            f"--max-count={_MOST_COMMITS}",
            f"--since={since}",
            "--format=%ct%x00%aE%x00%aN",
            "HEAD",
            "--",
            *([folder] if folder else []),
        )
        found: list[AuthoredCommit] = []
        for line in said.decode("utf-8", "replace").split("\n"):
            parts = line.split("\0")
            if len(parts) == 3 and parts[0].isdigit():
                found.append(AuthoredCommit(int(parts[0]), parts[1], parts[2]))
        return found

    async def _git(
        self, mirror: Path, *words: str, none: bool = False, globs: tuple[str, ...] = ()
    ) -> bytes:
        """What it says; with `none`, it may find nothing. Raises _GitFailed, HouseError."""
        # A pattern of paths is one of our own words; all others are taken by the letter.
        start = GIT[:-1] if globs else GIT
        settings = tuple(
            word for each in (*QUIET, f"safe.directory={mirror}") for word in ("-c", each)
        )
        paths = tuple(f":(glob)**/{each}" for each in globs)
        command = (*start, f"--git-dir={mirror}", *settings, *words, *paths)
        ended = await self._run(command, mirror, ENVIRONMENT, _EACH_SECONDS)
        if ended.status != 0 and not (none and ended.status == 1):
            raise _GitFailed(f"git {words[0]} ended with {ended.status}.")
        return ended.output


def _pattern(source: ArtifactSource) -> str:
    """What a manifest holds that names it, as git's extended expression."""
    if source.kind == "npm":
        return '"' + source.name.replace(".", "[.]") + '"'
    return canonicalize_name(source.name).replace("-", "[-_.]+")


def _mirror_of(directory: Path, place: RepositoryPlace) -> Path | None:
    """The mirror of a repository; none that leads out of the directory."""
    try:
        top = directory.resolve(strict=True)
    except OSError:
        return None
    for owner, name in ((place.owner, place.name), (place.owner.lower(), place.name.lower())):
        path = Path(top, place.host, owner, f"{name}.git")
        try:
            found = path.resolve(strict=True)
        except (OSError, RuntimeError):
            continue
        if found.is_relative_to(top) and found.is_dir():
            return found
    return None


def _state(mirror: Path) -> tuple[int, ...]:
    """When what says which commits are there was written (microseconds): a fetch changes it."""
    found: list[int] = []
    for name in _STATE:
        try:
            found.append((mirror / name).stat().st_mtime_ns // 1_000)
        except OSError:
            found.append(0)
    return tuple(found)


def _number(said: bytes) -> int:
    text = said.strip()
    if not text.isdigit() or len(text) > 15:
        raise _GitFailed("it has no commit.")
    return int(text)
