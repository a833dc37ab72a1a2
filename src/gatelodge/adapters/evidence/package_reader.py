"""What a package says of itself, read from the files of its image; nothing of it runs.

All of it is a stranger's text: each file is bounded, inside of the image's own root, and what does
not have the form that its kind has counts as not said.
"""

import asyncio
import email.parser
import json
import os
import re
import tomllib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement

from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.hosting.materials import ImageMaterial
from gatelodge.core.hosting.source import ArtifactSource
from gatelodge.core.ids import Instant
from gatelodge.core.instant import parse_rfc3339
from gatelodge.core.trust.evidence import PackageEvidence
from gatelodge.ports.images import ImageKeeper
from gatelodge.ports.trust.evidence import PackageReading
from gatelodge.ports.world import Clock

_MOST_BYTES: Final = 4 << 20
_MOST_SCRIPTS: Final = 50
_LONGEST: Final = 300
_NAME: Final = re.compile(r"mcp-name:\s*([A-Za-z0-9.-]{1,150}/[A-Za-z0-9._-]{1,150})")
_SCRIPTS: Final = ("preinstall", "install", "postinstall")
_SDKS: Final = ("mcp", "fastmcp", "@modelcontextprotocol/sdk", "@modelcontextprotocol/server")
_SOURCE_LABELS: Final = ("repository", "source", "source code", "code", "github", "homepage")
_OPEN_RANGE: Final = re.compile(r"^(?:|\*|x|latest|>=?\s*[\w.-]+)$")


class ImagePackageReader:
    """Implements `PackageReader` over the images that are kept here."""

    def __init__(self, images: ImageKeeper, clock: Clock) -> None:
        self._images = images
        self._clock = clock

    async def read_package(self, source: ArtifactSource, image: str) -> PackageReading:
        """What the image's package says, and its lock of it (`PackageReader`)."""
        kept = {each.image: each for each in await self._images.images()}.get(image)
        if kept is None:
            raise UpstreamUnreachable("The image is not here.", remedy="Have it built anew.")
        root = await self._images.root(image)
        materials = await self._images.materials(image)
        lock = await self._images.document(kept.lock) if kept.lock else b""
        said = await asyncio.to_thread(_read_said, source, root, lock)
        own = [each for each in materials if _is_own(each, source)]
        ran = tuple(kept.wish.split(" run-scripts=")[1:])
        package = PackageEvidence(
            source="the package itself",
            at=self._clock.now(),
            image=image,
            digests=own[0].digests if own else ((source.version,) if source.pinned else ()),
            packages=sum(bool(each.purl) for each in materials),
            scripts_ran=tuple(each.split(" ")[0][:_LONGEST] for each in ran)[:_MOST_SCRIPTS],
            # An image holds all that it needs, whoever made it.
            locked=True,
            **said,
        )
        index, released = _said_by_lock(source, lock)
        return PackageReading(package=package, index=index, released_at=released)


def _is_own(material: ImageMaterial, source: ArtifactSource) -> bool:
    return _plain(material.name) == _plain(source.name) and material.version == source.version


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _read_said(source: ArtifactSource, root: Path, lock: bytes) -> dict[str, Any]:
    app = root / "app"
    if source.kind == "pypi":
        return _said_by_metadata(source, root, app)
    if source.kind == "npm":
        return _said_by_package_json(root, app / "node_modules" / source.name, lock)
    described = _json_object(_text(root, app / "manifest.json"))
    return _without_empty(
        {
            "license": _line(described.get("license")),
            "repository": _address(described.get("repository")),
            "description": _line(described.get("description")),
        }
    )


def _said_by_metadata(source: ArtifactSource, root: Path, app: Path) -> dict[str, Any]:
    for folder in sorted(app.glob("*.dist-info"))[:2_000]:
        if _plain(folder.name.partition("-")[0]) == _plain(source.name):
            break
    else:
        return {}
    found = email.parser.HeaderParser().parsestr(_text(root, folder / "METADATA"))
    body = found.get_payload()
    named = _NAME.search(body if isinstance(body, str) else "")
    links = [each.partition(",") for each in found.get_all("Project-URL") or ()][:50]
    labelled = {label.strip().lower(): url.strip() for label, _, url in links}
    repository = next((labelled[each] for each in _SOURCE_LABELS if each in labelled), "")
    asked = _sdk_of_python(found.get_all("Requires-Dist") or ())
    licence = found.get("License-Expression") or found.get("License") or ""
    return _without_empty(
        {
            "server_name": named[1] if named else "",
            "repository": _address(repository or found.get("Home-page")),
            "license": _line(licence.partition("\n")[0]) or _licence_of(found),
            "description": _line(found.get("Summary")),
            "sdk": _line(str(asked)) if asked else "",
            "sdk_bounded": None if asked is None else _is_bounded(asked),
        }
    )


def _licence_of(found: Any) -> str:
    """The licence that a classifier names, where nothing else does."""
    for each in found.get_all("Classifier") or ():
        if str(each).startswith("License :: OSI Approved :: MIT"):
            return "MIT"
        if str(each).startswith("License :: OSI Approved :: Apache"):
            return "Apache-2.0"
    return ""


def _sdk_of_python(lines: Iterable[str]) -> Requirement | None:
    for line in list(lines)[:500]:
        try:
            asked = Requirement(str(line)[:_LONGEST])
        except InvalidRequirement:
            continue
        if _plain(asked.name) in _SDKS and asked.marker is None:
            return asked
    return None


def _is_bounded(asked: Requirement) -> bool:
    return any(each.operator in ("<", "<=", "==", "~=", "===") for each in asked.specifier)


def _said_by_package_json(root: Path, package: Path, lock: bytes) -> dict[str, Any]:
    described = _json_object(_text(root, package / "package.json"))
    asked = described.get("dependencies")
    needs = asked if isinstance(asked, dict) else {}
    sdk = next((name for name in _SDKS if isinstance(needs.get(name), str)), "")
    scripts = described.get("scripts")
    own = isinstance(scripts, dict) and any(each in scripts for each in _SCRIPTS)
    names = [_line(described.get("name"))] if own else []
    return _without_empty(
        {
            "server_name": _line(described.get("mcpName")),
            "repository": _address(described.get("repository")),
            "license": _line(described.get("license")),
            "description": _line(described.get("description")),
            "sdk": f"{sdk} {_line(needs[sdk])}" if sdk else "",
            "sdk_bounded": not _OPEN_RANGE.match(needs[sdk].strip()) if sdk else None,
            "install_scripts": tuple(dict.fromkeys((*names, *_scripts_of_lock(lock)))),
        }
    )


def _scripts_of_lock(lock: bytes) -> tuple[str, ...]:
    packages = _json_object(lock.decode("utf-8", "replace")).get("packages")
    if not isinstance(packages, dict):
        return ()
    found = [
        path.rpartition("node_modules/")[2][:_LONGEST]
        for path, each in packages.items()
        if path and isinstance(each, dict) and each.get("hasInstallScript") is True
    ]
    return tuple(sorted(found)[:_MOST_SCRIPTS])


def _said_by_lock(source: ArtifactSource, lock: bytes) -> tuple[str, Instant | None]:
    """The index of the package, and when it was released; what a lock does not say is left out."""
    text = lock.decode("utf-8", "replace")
    try:
        if source.kind == "pypi":
            every = tomllib.loads(text).get("packages", [])
            own = [each for each in every if _plain(str(each.get("name"))) == _plain(source.name)]
            wheels = [*own[0].get("wheels", ())] if own else []
            times = [each["upload-time"] for each in wheels if "upload-time" in each]
            index = _bare(str(own[0].get("index", ""))) if own else ""
            return index, _instant(min(times)) if times else None
        if source.kind == "npm":
            packages = _json_object(text).get("packages") or {}
            resolved = packages.get(f"node_modules/{source.name}", {}).get("resolved", "")
            return _bare(str(resolved).partition(f"/{source.name}/-/")[0]), None
    except (tomllib.TOMLDecodeError, AttributeError, TypeError):
        pass
    return "", None


def _instant(said: datetime) -> Instant | None:
    """A time of a lock. Raises TypeError for what is none."""
    return parse_rfc3339(said.isoformat())


def _bare(url: str) -> str:
    """An address without a login, a query or a fragment: it stands on cards."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        place = f"{host}:{parts.port}" if parts.port else host
    except ValueError:
        return ""
    return f"{parts.scheme}://{place}{parts.path}" if parts.scheme in ("http", "https") else ""


def _address(said: object) -> str:
    url = said.get("url") if isinstance(said, dict) else said
    text = _line(url).removeprefix("git+")
    if re.fullmatch(r"(?:github:)?[\w.-]+/[\w.-]+", text):
        return text.removeprefix("github:")
    return _bare(text) or (text if text.startswith(("git@", "ssh://git@")) else "")


def _line(said: object) -> str:
    text = said if isinstance(said, str) else ""
    return "".join(c if c.isprintable() else " " for c in text[:_LONGEST]).strip()


def _text(root: Path, path: Path) -> str:
    """A regular file within the root, as far as it is read; empty for any other."""
    try:
        if not path.resolve().is_relative_to(root.resolve()):
            return ""
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return file.read(_MOST_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def _json_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _without_empty(said: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in said.items() if value not in ("", (), None)}
