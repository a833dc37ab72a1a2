"""Where an artifact comes from, as an admin writes it: `pypi:NAME@VERSION` and its kin."""

import re
from typing import Final, Literal

from msgspec import Struct

from gatelodge.core.errors import Invalid

SourceKind = Literal["pypi", "npm", "oci", "mcpb", "url"]

_VERSION = r"(?P<version>[0-9A-Za-z][0-9A-Za-z.+!_-]{0,127})"
_HEX = "[0-9a-f]{64}"
_PART = "[a-z0-9]+(?:(?:[.]|__?|-+)[a-z0-9]+)*"
# A registry has a dot or a port in its name, or is this machine: else it would be a folder.
_REGISTRY = r"(?:(?=[^/:]*[.:])[a-z0-9][a-z0-9.-]{0,252}(?::[0-9]{1,5})?|localhost)"
_TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_REPOSITORY = rf"(?P<name>{_REGISTRY}(?:/{_PART}){{1,16}})"
_REFERENCE: Final = re.compile(
    # Of a tag and a digest the digest says it.
    rf"{_REPOSITORY}(?:(?::{_TAG})?@(?P<digest>sha256:{_HEX})|:(?P<tag>{_TAG}))"
)
_FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,99}[.](?:mcpb|tar)"
_URL: Final = re.compile(
    rf"(?P<name>https?://[^\s@?#/]{{1,300}}(?:/[^\s?#/]{{1,300}}){{0,30}}/{_FILE_NAME})"
    rf"(?:#sha256=(?P<digest>{_HEX}))?"
)
_UNNAMED: Final = re.compile(_REPOSITORY)
_FORMS: Final[dict[SourceKind, re.Pattern[str]]] = {
    "pypi": re.compile(rf"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,126}}[A-Za-z0-9])?)@{_VERSION}"),
    "npm": re.compile(
        rf"(?P<name>(?:@[a-z0-9~-][a-z0-9._~-]{{0,99}}/)?[a-z0-9~-][a-z0-9._~-]{{0,99}})@{_VERSION}"
    ),
    "oci": re.compile(r"(?P<name>[^@\s]{1,400})(?P<version>)"),
    "mcpb": re.compile(r"(?P<name>\S{1,1000})(?P<version>)"),
}
_HOW: Final = (
    "Write pypi:NAME@VERSION, npm:NAME@VERSION, oci:REGISTRY/REPOSITORY@sha256:..., "
    "oci:REGISTRY/REPOSITORY:TAG, oci:FILE, mcpb:FILE or url:https://HOST/NAME.mcpb#sha256=..."
)
_IMAGE = re.compile(r"sha256:[0-9a-f]{64}")
_PLACE = re.compile(
    r"(?P<host>(?=.{1,253}:)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*)"
    r":(?P<port>[1-9][0-9]{0,4})"
)


class ArtifactSource(Struct, frozen=True):
    """Where an artifact comes from; `version` is empty where the name alone says it.

    Of an image in a registry it is the digest, or a tag; of a URL the digest of what is there.
    """

    kind: SourceKind
    name: str
    version: str = ""

    @property
    def text(self) -> str:
        """The source as it is written."""
        if self.kind == "url":
            return f"url:{self.name}#{self.version.replace(':', '=')}"
        sign = ":" if self.kind == "oci" and not self.pinned else "@"
        return f"{self.kind}:{self.name}" + (f"{sign}{self.version}" if self.version else "")

    @property
    def pinned(self) -> bool:
        """True when a digest says what it is."""
        return self.version.startswith("sha256:")

    @property
    def file(self) -> bool:
        """True for a file of this machine, which may be another one the next time."""
        return self.kind in ("mcpb", "oci") and not self.version


def is_source(text: str) -> bool:
    """Say whether the text begins as a source does; whether it is one, `read_source` says."""
    kind, colon, _ = text.partition(":")
    return bool(colon) and (kind in _FORMS or kind == "url")


def read_source(text: str) -> ArtifactSource:
    """The parts of a source. Raises Invalid, also for a version that is not exact."""
    kind, _, rest = text.partition(":")
    if kind == "url":
        return _read_url_source(rest)
    if kind == "oci":
        reference = _REFERENCE.fullmatch(rest)
        if reference:
            return ArtifactSource("oci", reference["name"], reference["digest"] or reference["tag"])
        if _UNNAMED.fullmatch(rest):
            raise Invalid(
                f"source: {text[:80]!r} names no image of its repository",
                remedy="Add @sha256:DIGEST, or :TAG, which is looked up once.",
            )
    for each, form in _FORMS.items():
        found = form.fullmatch(rest) if each == kind else None
        if found:
            return ArtifactSource(each, found["name"], found["version"] or "")
    raise Invalid(f"source: {text[:80]!r} names no exact artifact", remedy=_HOW)


def _read_url_source(rest: str) -> ArtifactSource:
    """A file at a URL. Raises Invalid, without the URL: what is wrong with it may be a secret."""
    found = _URL.fullmatch(rest)
    if found is None:
        raise Invalid(
            "source: the URL is none of a file that is taken",
            remedy="Write url:https://HOST/PATH/NAME.mcpb#sha256=HEX, or NAME.tar of an image; no "
            "login and no query may be in it, since everybody who sees the server sees its source.",
        )
    if found["digest"] is None:
        raise Invalid(
            "source: the URL does not say what is there",
            remedy="Add #sha256=HEX, which its publisher names, or `sha256sum` of a copy that was "
            "looked at.",
        )
    return ArtifactSource("url", found["name"], f"sha256:{found['digest']}")


def check_image(text: str) -> None:
    """Refuse what is no digest of a manifest. Raises Invalid."""
    if _IMAGE.fullmatch(text) is None:
        raise Invalid(
            f"image: {text[:80]!r} is no digest of an image",
            remedy="Let the gate build it: gatelodge server add ALIAS pypi:NAME@VERSION",
        )


def check_place(text: str) -> tuple[str, int]:
    """Host and port of a place that may be connected to; a name, no address. Raises Invalid."""
    found = _PLACE.fullmatch(text)
    numbers = found and found["host"].rpartition(".")[2].isdigit()
    if found is None or numbers or int(found["port"]) > 65_535:
        raise Invalid(
            f"egress: {text[:80]!r} is no place that can be allowed",
            remedy="Write a name in lower case and a port, such as api.example.com:443.",
        )
    return found["host"], int(found["port"])
