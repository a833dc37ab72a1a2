"""What a `server.json` declares: whether it is one, which inputs it describes, which secrets show.

Source: the schema of the MCP registry in its steps from 2025-09-16 to 2025-12-11, whose names are
those of 2025-12-11. What a step before those says is not judged.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct, field
from packaging.utils import canonicalize_name

from gatelodge.core.hosting.source import ArtifactSource

MOST_MANIFEST: Final = 1 << 20
"""Bytes of one."""
_MOST_INPUTS: Final = 500
_STEPS: Final = frozenset(
    ("2025-09-16", "2025-09-29", "2025-10-11", "2025-10-17", "2025-12-11", "draft")
)
_STEP: Final = re.compile(r"/(\d{4}-\d{2}-\d{2}|draft)/server\.schema\.json$")
_RANGE: Final = re.compile(r"^[\^~<>=]|\s-\s|\|\||(?:^|\.)[xX*](?:\.|$)")
_SECRET: Final = re.compile(
    r"secret|passw|api[_-]?key|access[_-]?key|private[_-]?key|credential|(?<![a-z])token(?!s)",
    re.IGNORECASE,
)
_NO_SECRET: Final = re.compile(r"max|limit|count|budget|expir|url|path|file", re.IGNORECASE)

_Name = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+$", max_length=200)]
_Words = Annotated[str, Meta(min_length=1, max_length=100)]
_Version = Annotated[str, Meta(min_length=1, max_length=255)]
_Url = Annotated[str, Meta(pattern=r"^(?:https?://|\{)\S+$", max_length=2_000)]


class _ManifestInput(Struct, rename="camel", kw_only=True):
    description: str = ""
    is_required: bool = False
    is_secret: bool = False
    format: Literal["string", "number", "boolean", "filepath"] = "string"
    default: str = ""
    value: str = ""
    choices: tuple[str, ...] = ()


class _NamedInput(_ManifestInput, rename="camel", kw_only=True):
    name: str
    variables: dict[str, _ManifestInput] = {}


class _NamedArgument(_NamedInput, rename="camel", tag="named"):
    pass


class _PositionalArgument(_ManifestInput, rename="camel", tag="positional"):
    value_hint: str = ""
    variables: dict[str, _ManifestInput] = {}


class _ManifestTransport(Struct, rename="camel"):
    type: Literal["stdio", "streamable-http", "sse"]
    url: _Url = ""
    headers: tuple[_NamedInput, ...] = ()
    variables: dict[str, _ManifestInput] = {}


class _ManifestPackage(Struct, rename="camel"):
    registry_type: Annotated[str, Meta(min_length=1, max_length=50)]
    identifier: Annotated[str, Meta(min_length=1, max_length=2_000)]
    transport: _ManifestTransport
    version: _Version = "-"
    file_sha256: Annotated[str, Meta(pattern="^[a-f0-9]{64}$")] = field(
        default="", name="fileSha256"
    )
    environment_variables: tuple[_NamedInput, ...] = ()
    package_arguments: tuple[_NamedArgument | _PositionalArgument, ...] = ()
    runtime_arguments: tuple[_NamedArgument | _PositionalArgument, ...] = ()


class _ManifestRepository(Struct):
    url: str
    source: str


class _ManifestFile(Struct, rename="camel"):
    name: _Name
    description: _Words
    version: _Version
    packages: Annotated[tuple[_ManifestPackage, ...], Meta(max_length=100)] = ()
    remotes: Annotated[tuple[_ManifestTransport, ...], Meta(max_length=100)] = ()
    repository: _ManifestRepository | None = None


class ManifestReading(Struct, frozen=True, kw_only=True):
    """What it declares: `described` of its `inputs`, and secrets that are not kept as such."""

    name: str
    valid: bool
    fault: str
    inputs: int
    described: int
    exposed_secrets: tuple[str, ...]


def read_manifest(body: bytes) -> ManifestReading | None:
    """What a `server.json` declares; None for what is none, or of a schema that is not known."""
    try:
        found = msgspec.json.decode(body, type=dict[str, Any]) if len(body) <= MOST_MANIFEST else {}
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None
    step = _STEP.search(str(found.get("$schema", "")))
    if step is None or step[1] not in _STEPS:
        return None
    fault = _fault(found)
    inputs = list(_inputs(found))[:_MOST_INPUTS]
    asked = [each for _, each, _ in inputs if not each.get("value") or each.get("variables")]
    shown = (_exposed(name, each, argument=argument) for name, each, argument in inputs)
    return ManifestReading(
        name=str(found.get("name", ""))[:200],
        valid=not fault,
        fault=fault[:300],
        inputs=len(asked),
        described=sum(bool(_text(each, "description").strip()) for each in asked),
        exposed_secrets=tuple(dict.fromkeys(each for each in shown if each))[:50],
    )


def names_package(server: Any, source: ArtifactSource) -> Literal["version", "package", "no", ""]:
    """Whether a record (decoded JSON) is about this package, in this version or another one.

    Empty where it names no package at all, as a remote server does.
    """
    packages = [each for each in _many(server, "packages") if _text(each, "identifier")]
    if not packages:
        return ""
    about = [each for each in packages if _is_package(each, source)]
    if not about:
        return "no"
    exact = any(_text(each, "version") == source.version or _pins(each, source) for each in about)
    return "version" if exact else "package"


def _is_package(package: Any, source: ArtifactSource) -> bool:
    kind, name = _text(package, "registryType"), _text(package, "identifier")
    if kind == "pypi" == source.kind:
        return canonicalize_name(name) == canonicalize_name(source.name)
    if kind == "oci" == source.kind:
        plain = re.sub(r"@sha256:.*$|:[\w.-]{1,128}$", "", name)
        return plain.removeprefix("docker.io/") == source.name.removeprefix("docker.io/")
    if source.kind in ("url", "mcpb"):
        return kind == "mcpb" and name == source.name
    return kind == source.kind and name == source.name


def _pins(package: Any, source: ArtifactSource) -> bool:
    """True when it names this version within its identifier, or by the digest of the file."""
    if not source.version:
        return False
    digest = "sha256:" + _text(package, "fileSha256")
    name = _text(package, "identifier")
    return digest == source.version or name.endswith((f":{source.version}", f"@{source.version}"))


def _fault(found: dict[str, Any]) -> str:
    """What its schema does not allow, in words; empty for nothing."""
    try:
        read = msgspec.convert(found, _ManifestFile)
    except (msgspec.ValidationError, RecursionError) as fault:
        return str(fault)
    return next((words for broken, words in _rules(read) if broken), "")


def _rules(read: _ManifestFile) -> Iterator[tuple[bool, str]]:
    """What the shape alone does not say."""
    versions = (read.version, *(each.version for each in read.packages))
    yield (
        any(each == "latest" or _RANGE.search(each) for each in versions),
        "a version in it is none: a range, or `latest`",
    )
    ways = (*(each.transport for each in read.packages), *read.remotes)
    yield (
        any(each.type != "stdio" and not each.url for each in ways),
        "a transport over HTTP has no URL",
    )
    yield (
        any(each.type == "stdio" for each in read.remotes),
        "a remote server cannot be reached over stdio",
    )
    every = [word for each in read.packages for word in _arguments(each)]
    yield (
        any(isinstance(each, _PositionalArgument) and not _is_told(each) for each in every),
        "a positional argument has neither valueHint nor value",
    )
    yield (
        any(each.registry_type == "mcpb" and not each.file_sha256 for each in read.packages),
        "a bundle (mcpb) has no fileSha256",
    )


def _arguments(package: _ManifestPackage) -> tuple[_NamedArgument | _PositionalArgument, ...]:
    return (*package.package_arguments, *package.runtime_arguments)


def _is_told(argument: _PositionalArgument) -> bool:
    return bool(argument.value_hint or argument.value)


def _inputs(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Each input with its name, and whether it is an argument; those of variables, too."""
    for package in _many(found, "packages"):
        for group in ("environmentVariables", "packageArguments", "runtimeArguments"):
            for each in _many(package, group):
                yield from _with_variables(each, argument=group != "environmentVariables")
        yield from _of_transport(package.get("transport"))
    for remote in _many(found, "remotes"):
        yield from _of_transport(remote)


def _of_transport(transport: Any) -> Iterator[tuple[str, dict[str, Any], bool]]:
    if isinstance(transport, dict):
        for each in _many(transport, "headers"):
            yield from _with_variables(each, argument=False)
        yield from _variables(transport, argument=False)


def _with_variables(
    one: dict[str, Any], *, argument: bool
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    own = list(_variables(one, argument=argument))
    if not own:
        yield _text(one, "name") or _text(one, "valueHint"), one, argument
    yield from own


def _variables(
    one: dict[str, Any], *, argument: bool
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    named = one.get("variables")
    for name, each in (named if isinstance(named, dict) else {}).items():
        if isinstance(each, dict):
            yield name, each, argument


def _exposed(name: str, one: dict[str, Any], *, argument: bool) -> str:
    """What is wrong with an input that is a secret, or looks like one; empty for nothing."""
    declared = one.get("isSecret") is True
    looks = bool(_SECRET.search(name)) and not _NO_SECRET.search(name)
    short = " ".join(name.split())[:80] or "an input without a name"
    if looks and not declared:
        return f"{short} is not declared secret"
    if declared and (_text(one, "default") or _text(one, "value")):
        return f"{short} has a value that everybody can read"
    return f"{short} stands in the arguments" if declared and argument else ""


def _many(one: Any, name: str) -> list[dict[str, Any]]:
    told = one.get(name) if isinstance(one, dict) else None
    return [each for each in (told if isinstance(told, list) else ()) if isinstance(each, dict)]


def _text(one: dict[str, Any], name: str) -> str:
    told = one.get(name)
    return told if isinstance(told, str) else ""
