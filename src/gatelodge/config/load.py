"""From file, environment and command line to one checked `Settings`, with each value's origin.

A value is taken from the last place that names it: default, file, environment
(`GATELODGE_STORE__URL`), `--set store.url=...`. Every fault is gathered before SettingsError is
raised, so that one run shows them all; faults name the place and never the value of a secret.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from gatelodge.config.schema import (
    UIDS,
    HostingSettings,
    LimitSettings,
    Settings,
    TelemetrySettings,
)
from gatelodge.core.catalog.references import half_reference, reference
from gatelodge.core.catalog.registries import read_login, read_origin
from gatelodge.core.errors import Invalid, SettingsError
from gatelodge.core.hosting.source import check_place

PREFIX = "GATELODGE_"
FILE_NAME = "gatelodge.toml"
NOT_SETTINGS = frozenset({"TOKEN", "URL", "WORKSPACE", "CONFIG"})
"""Environment names (after the prefix) that the command line reads itself."""

_REFERENCES = ("file:", "env:")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_DATABASES = ("postgresql:", "postgresql+psycopg:", "sqlite:")


class SettingSources(Struct, frozen=True, kw_only=True):
    """Where settings are looked for: `file` None means the usual places, `sets` are `key=value`."""

    file: Path | None = None
    environ: Mapping[str, str] = {}
    sets: tuple[str, ...] = ()
    data_dir: str = ""
    cwd: Path = Path()


class LoadedSettings(Struct, frozen=True):
    """The settings, the origin of each dotted key, and the file that was read, if any."""

    settings: Settings
    origins: dict[str, str]
    file: Path | None = None


class ShownSetting(Struct, frozen=True):
    """One line of `gatelodge config show`: a value that is safe to print, and its origin."""

    key: str
    value: Any
    origin: str


class _GivenValue(Struct, frozen=True):
    """A value as it was found: `text` values (environment, command line) still want their type."""

    key: str
    value: Any
    origin: str
    text: bool


def _fields_by_key() -> dict[str, msgspec.structs.FieldInfo]:
    """Every settable key (`section.field`) with its field."""
    found: dict[str, msgspec.structs.FieldInfo] = {}
    for field in msgspec.structs.fields(Settings):
        if isinstance(field.type, type) and issubclass(field.type, Struct):
            for inner in msgspec.structs.fields(field.type):
                found[f"{field.name}.{inner.name}"] = inner
        else:
            found[field.name] = field
    return found


KEYS: dict[str, msgspec.structs.FieldInfo] = _fields_by_key()
"""Every settable key; the reference page and the completion read it too."""


def load(sources: SettingSources) -> LoadedSettings:
    """The settings and the origin of each; raises SettingsError with every fault at once."""
    faults: list[str] = []
    given = [*_from_environment(sources.environ, faults), *_from_sets(sources, faults)]
    path = _file_of(sources, given)
    given = [*_from_file(path, faults), *given]
    values: dict[str, Any] = {}
    origins = dict.fromkeys(KEYS, "default")
    for each in given:
        checked = _convert_value(each, faults)
        if checked is not msgspec.UNSET:
            values[each.key] = checked
            origins[each.key] = each.origin
    settings = _build_settings(values)
    faults += _cross_field_faults(settings, origins)
    if faults:
        raise SettingsError(tuple(faults))
    return LoadedSettings(settings, origins, path)


def shown(loaded: LoadedSettings) -> tuple[ShownSetting, ...]:
    """Every key with a printable value: references stay references, passwords become stars."""
    lines = []
    for key in KEYS:
        value: Any = loaded.settings
        for part in key.split("."):
            value = getattr(value, part)
        if key == "store.url":
            value = _without_password(value)
        lines.append(ShownSetting(key, value, loaded.origins[key]))
    return tuple(lines)


def _file_of(sources: SettingSources, given: Sequence[_GivenValue]) -> Path | None:
    """The named file, else the first of the usual ones that exists, or may."""
    if sources.file is not None:
        return sources.file
    data_dir = KEYS["data_dir"].default
    for each in given:
        if each.key == "data_dir":
            data_dir = each.value
    for path in (sources.cwd / FILE_NAME, sources.cwd / data_dir / FILE_NAME):
        try:
            if path.is_file():
                return path
        except OSError:
            # Not taken for none: reading it is what tells why it cannot be.
            return path
    return None


def _from_file(path: Path | None, faults: list[str]) -> Iterator[_GivenValue]:
    if path is None:
        return
    try:
        tree = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        faults.append(f"{path}: there is no such file")
        return
    except OSError as error:
        faults.append(f"{path}: cannot be read ({error.strerror})")
        return
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.append(f"{path}: not TOML: {error}")
        return
    sections = {key.partition(".")[0] for key in KEYS if "." in key}
    for name, value in tree.items():
        if name not in sections:
            yield _GivenValue(name, value, str(path), text=False)
        elif isinstance(value, dict):
            for inner, at in value.items():
                yield _GivenValue(f"{name}.{inner}", at, str(path), text=False)
        else:
            faults.append(f"{path}: {name} is a section: write [{name}] and its keys below it")


def _from_environment(environ: Mapping[str, str], faults: list[str]) -> Iterator[_GivenValue]:
    """Names with a double underscore must be settings; others only when they are nearly one.

    A foreign name under our prefix is common (Kubernetes makes `GATELODGE_PORT` for a service of
    that name; a secret reference may point at `env:GATELODGE_DB`), so it is left alone.
    """
    by_name = {PREFIX + key.upper().replace(".", "__"): key for key in KEYS}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name.removeprefix(PREFIX) in NOT_SETTINGS:
            continue
        if name in by_name:
            yield _GivenValue(by_name[name], environ[name], f"environment {name}", text=True)
            continue
        near = get_close_matches(name, by_name, 1, 0.6 if "__" in name else 0.95)
        if near or "__" in name:
            faults.append(f"environment {name}: no such setting{_spelling_suggestion(near)}")


def _from_sets(sources: SettingSources, faults: list[str]) -> Iterator[_GivenValue]:
    for pair in sources.sets:
        key, equals, value = pair.partition("=")
        if equals:
            yield _GivenValue(key.strip(), value, "--set", text=True)
        else:
            faults.append("--set wants key=value, such as --set listen.port=8721")
    if sources.data_dir:
        yield _GivenValue("data_dir", sources.data_dir, "--data-dir", text=True)


def _convert_value(given: _GivenValue, faults: list[str]) -> Any:
    """The value in its type, or UNSET after a fault was noted."""
    field = KEYS.get(given.key)
    if field is None:
        near = get_close_matches(given.key, KEYS, 1)
        faults.append(f"{given.origin}: {given.key}: no such setting{_spelling_suggestion(near)}")
        return msgspec.UNSET
    value = given.value
    try:
        if given.text and field.type == tuple[str, ...]:
            value = _split_words(value)
        return msgspec.convert(value, field.type, strict=not given.text)
    except msgspec.ValidationError as error:
        faults.append(f"{given.origin}: {given.key}: {error}")
        return msgspec.UNSET


def _split_words(text: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", text) if word]


def _build_settings(values: Mapping[str, Any]) -> Settings:
    top: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        own = {
            key.removeprefix(f"{field.name}."): value
            for key, value in values.items()
            if key.startswith(f"{field.name}.")
        }
        if own:
            top[field.name] = msgspec.structs.replace(field.default, **own)
        elif field.name in values:
            top[field.name] = values[field.name]
    return Settings(**top)


def _cross_field_faults(settings: Settings, origins: Mapping[str, str]) -> Iterator[str]:
    """What each value alone cannot show."""
    public = settings.listen.public_url
    if public and not _is_origin(public):
        yield (
            f"{origins['listen.public_url']}: listen.public_url: "
            "wants an origin such as https://gate.example.com, without a path"
        )
    for origin in settings.listen.allowed_origins:
        if not _is_origin(origin):
            yield (
                f"{origins['listen.allowed_origins']}: listen.allowed_origins: "
                "each wants to be an origin such as https://app.example.com"
            )
    url = settings.store.url
    if url and not url.startswith((*_REFERENCES, *_DATABASES)):
        yield (
            f"{origins['store.url']}: store.url: "
            "wants postgresql://..., file:PATH or env:NAME; empty means SQLite"
        )
    if settings.store.lease_ms <= settings.store.poll_ms:
        yield (
            f"{origins['store.lease_ms']}: store.lease_ms: must be longer than store.poll_ms "
            f"({settings.store.poll_ms}), or the gate would refuse between two polls"
        )
    if settings.listen.port == settings.listen.admin_port > 0:
        yield (
            f"{origins['listen.admin_port']}: listen.admin_port: must not be listen.port "
            f"({settings.listen.port}); -1 serves the admin API there"
        )
    yield from _unreachable_limit_faults(settings.limits, origins)
    yield from _untraceable(settings.telemetry, origins)
    key = "trust.mcp_registry"
    if settings.trust.mcp_registry and not _is_address(settings.trust.mcp_registry):
        yield f"{origins[key]}: {key}: must be an http(s) address without login and query"
    yield from _hosting_faults(settings.hosting, origins)
    if re.search(r"[\s+]", settings.audit.origin):
        yield (
            f"{origins['audit.origin']}: audit.origin: it names signing keys, "
            "so it may hold no space and no plus sign"
        )


def _unreachable_limit_faults(limits: LimitSettings, origins: Mapping[str, str]) -> Iterator[str]:
    """Limits that another one makes void: nothing would ever come near them, and nobody be told."""
    larger = (
        ("body_bytes", "person_bytes", limits.person_bytes),
        ("result_bytes", "person_bytes", limits.person_bytes),
        ("body_bytes", "half of limits.total_bytes", limits.total_bytes // 2),
        ("result_bytes", "half of limits.total_bytes", limits.total_bytes // 2),
        ("header_bytes", "stranger_bytes", limits.stranger_bytes),
        ("call_seconds", "progress_seconds", limits.progress_seconds),
    )
    for name, within, most in larger:
        if getattr(limits, name) > most:
            key = f"limits.{name}"
            whole = within if "." in within else f"limits.{within}"
            yield f"{origins[key]}: {key}: must not be more than {whole} ({most:.10g})"


def _untraceable(telemetry: TelemetrySettings, origins: Mapping[str, str]) -> Iterator[str]:
    """Where no trace could be sent, or a secret would stand in the settings."""
    key = "telemetry.traces_endpoint"
    if telemetry.traces_endpoint and not _is_address(telemetry.traces_endpoint):
        yield (
            f"{origins[key]}: {key}: wants an address such as http://127.0.0.1:4318, without "
            "name and password (telemetry.traces_headers has them) and without a query"
        )
    key = "telemetry.traces_headers"
    for number, line in enumerate(telemetry.traces_headers, 1):
        name, _, value = line.partition(":")
        if not (_HEADER_NAME.fullmatch(name.strip()) and _is_reference(value.strip())):
            yield (
                f"{origins[key]}: {key}: number {number} wants to be 'Name: env:NAME' or "
                "'Name: file:/PATH', perhaps with a word before the reference; "
                "'Name: text:...' is for what is no secret"
            )


def _hosting_faults(hosting: HostingSettings, origins: Mapping[str, str]) -> Iterator[str]:
    """What no server could be hosted with: said before anything starts."""
    key = "hosting.plain_commands"
    if hosting.production and hosting.plain_commands == "process":
        yield (
            f"{origins[key]}: {key}: must not be process where hosting.production is true "
            f"({origins['hosting.production']}), which refuses plain child processes; set it to "
            "sandbox, or hosting.production to false"
        )
    key, most = "hosting.first_uid", hosting.first_range - 2 * UIDS
    if hosting.first_uid > most:
        # A server and a container of one uid could end one another.
        yield (
            f"{origins[key]}: {key}: must not be more than {most}: the {2 * UIDS:,} uids from "
            f"there on have to end before hosting.first_range ({hosting.first_range})"
        )
    key = "hosting.egress_private"
    for number, text in enumerate(hosting.egress_private, 1):
        try:
            check_place(text)
        except Invalid as refused:
            yield f"{origins[key]}: {key}: number {number} is no place. {refused.remedy}"
    for name, read in (("private_origins", read_origin), ("registry_logins", read_login)):
        key = f"hosting.{name}"
        for number, text in enumerate(getattr(hosting, name), 1):
            try:
                read(text)
            except Invalid as refused:
                yield f"{origins[key]}: {key}: number {number}: {refused.detail}. {refused.remedy}"


def _is_reference(value: str) -> bool:
    if value.startswith("text:"):
        return value.isprintable()
    return reference(value) is not None and not half_reference(value)


def _is_address(text: str) -> bool:
    """True for an HTTP address that holds no secret."""
    base, path = text, ""
    if text.count("/") > 2:
        scheme, _, rest = text.partition("//")
        host, _, path = rest.partition("/")
        base = f"{scheme}//{host}"
    plain = not any(each in text for each in "@?#") and text.isprintable() and " " not in text
    return plain and _is_origin(base) and "//" not in path


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(host) and parts[2:] == ("", "", "")


def _without_password(url: str) -> str:
    if not url.startswith(_DATABASES):
        return url
    url = re.sub(r"(?<=://)([^/@]*?):.*@", r"\1:***@", url)
    return re.sub(r"(?i)((?:^|[?&])(?:ssl)?password=)[^&]*", r"\1***", url)


def _spelling_suggestion(near: Sequence[str]) -> str:
    return f"; did you mean {near[0]}?" if near else ""
