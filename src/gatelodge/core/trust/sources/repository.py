"""What the history of a repository says, as values: where it is, its people, tags and manifests."""

import configparser
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from msgspec import Struct
from packaging.utils import canonicalize_name

from gatelodge.core.hosting.source import ArtifactSource

DAY_SECONDS: Final = 86_400
YEAR_DAYS: Final = 365
MANIFESTS: Final[dict[str, tuple[str, ...]]] = {
    "pypi": ("pyproject.toml", "setup.cfg", "setup.py"),
    "npm": ("package.json",),
}
"""Files that name a package, by its kind."""
_URL: Final = re.compile(
    r"(?:git\+)?(?:(?:https?|ssh|git)://)?(?:[^@/\s]*@)?"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.[A-Za-z]{2,})(?::\d{1,5}/|[:/])"
    r"(?P<owner>[A-Za-z0-9_][A-Za-z0-9._-]{0,99})/(?P<name>[A-Za-z0-9_][A-Za-z0-9._-]{0,99})"
    r"(?:[/#?].*)?"
)
_BOT: Final = re.compile(
    r"\[bot\]|(?<![a-z])bot(?![a-z])|dependabot|renovate|greenkeeper|github-actions|pre-commit-ci"
    r"|semantic-release|web-flow"
)
_SETUP_NAME: Final = re.compile(r"""\bname\s*=\s*["']([A-Za-z0-9._-]{1,128})["']""")
_POLICY: Final = re.compile(r"(?:\.github/|docs/|\.gitlab/)?security(?:\.\w+)?", re.IGNORECASE)


class RepositoryPlace(Struct, frozen=True):
    """A repository at its host, in the spelling of the address that named it."""

    host: str
    owner: str
    name: str

    @property
    def url(self) -> str:
        """Its address in a browser, without a login."""
        return f"https://{self.host}/{self.owner}/{self.name}"


class AuthoredCommit(Struct, frozen=True):
    """When a commit was made (seconds since 1970), and by whom."""

    at: int
    email: str
    name: str


class CommitCounts(Struct, frozen=True):
    """People's commits within so many days, and how many people made half of a year's."""

    days_30: int
    days_90: int
    days_365: int
    half_of_year: int


def repository_place(url: str) -> RepositoryPlace | None:
    """The repository that an address names, in any of its spellings; None for none.

    A folder of it, a branch and a login are no part of it.
    """
    found = _URL.fullmatch(url.strip()[:1_000])
    if found is None:
        return None
    name = found["name"].removesuffix(".git")
    if not name or ".." in f"{found['owner']}/{name}":
        return None
    return RepositoryPlace(found["host"].lower(), found["owner"], name)


def count_commits(commits: Iterable[AuthoredCommit], until: int) -> CommitCounts:
    """How much people did in the time before `until`; one person is one e-mail address."""
    people = [each for each in commits if each.at <= until and not is_bot(each)]
    year = [each for each in people if each.at > until - YEAR_DAYS * DAY_SECONDS]
    counts = Counter(each.email.lower() for each in year)
    half, covered = 0, 0
    for _, many in counts.most_common():
        if covered * 2 >= len(year):
            break
        half, covered = half + 1, covered + many
    days = [sum(each.at > until - most * DAY_SECONDS for each in year) for most in (30, 90)]
    return CommitCounts(days[0], days[1], len(year), half)


def is_bot(commit: AuthoredCommit) -> bool:
    """True for a commit that a program made in its own name."""
    return _BOT.search(f"{commit.name} {commit.email}".lower()) is not None


def release_tag(tags: Sequence[str], source: ArtifactSource) -> str:
    """The tag of this version; empty for none. One that names the package goes first."""
    version, short = source.version, source.name.rpartition("/")[2]
    known = {each.lower(): each for each in tags}
    names = dict.fromkeys((source.name, short, canonicalize_name(short), short.replace("-", "_")))
    wanted = [
        f"{name}{sign}{version}"
        for name in names
        for sign in ("@", "==", "-v", "/v", "-", "/", "@v")
    ]
    wanted += [f"{sign}{version}" for sign in ("v", "", "release-", "release/", "rel-")]
    return next((known[each.lower()] for each in wanted if each.lower() in known), "")


def names_itself(path: str, text: str, source: ArtifactSource) -> bool:
    """Whether a manifest names this package as its own."""
    kind = path.rpartition("/")[2]
    if kind == "package.json":
        return _json_name(text) == source.name
    found = {"pyproject.toml": _project_name, "setup.cfg": _config_name}.get(kind, _setup_name)(
        text
    )
    return bool(found) and canonicalize_name(found) == canonicalize_name(source.name)


def is_policy(path: str, folder: str) -> bool:
    """Whether a file tells whom to tell of a fault in what is in `folder`."""
    own = path.removeprefix(f"{folder}/") if folder else path
    return any(_POLICY.fullmatch(each) for each in {path, own})


def _json_name(text: str) -> str:
    try:
        return msgspec.json.decode(text, type=_NamedManifest).name
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return ""


class _NamedManifest(Struct):
    name: str = ""


def _project_name(text: str) -> str:
    try:
        read = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return ""
    tool = read.get("tool")
    poetry = tool.get("poetry") if isinstance(tool, dict) else None
    for each in (read.get("project"), poetry):
        name = each.get("name") if isinstance(each, dict) else None
        if isinstance(name, str):
            return name
    return ""


def _config_name(text: str) -> str:
    read = configparser.RawConfigParser(strict=False)
    try:
        read.read_string(text)
        return read.get("metadata", "name", fallback="")
    except (configparser.Error, ValueError):
        return ""


def _setup_name(text: str) -> str:
    found = _SETUP_NAME.search(text)
    return found[1] if found else ""
