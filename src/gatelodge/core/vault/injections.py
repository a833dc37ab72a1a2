"""Which secrets a server is given, and how: by name, never by value. Pure."""

from collections.abc import Iterable, Iterator

from gatelodge.core.catalog.references import SecretReference, reference
from gatelodge.core.catalog.server import HttpTransport, StdioTransport, Transport

_OF_PROCESS = (
    "environment: readable by the server's own user on this machine; in a container also by "
    "whoever may use the engine's socket"
)
_OF_FILES = "files: in memory only, readable by the server's own user"
_OF_HEADERS = "headers: sent to the server with each request"


def injections(transport: Transport) -> tuple[str, ...]:
    """Each secret as `NAME:HOW:SOURCE`, sorted: `TOKEN:env:vault`, `CERT:file:file`.

    `HOW` is env, file or header; `SOURCE` where the value is kept: vault, env or file.
    """
    given = ((name, how, found.scheme) for name, how, found in _references(transport))
    return tuple(sorted(f"{name}:{how}:{source}" for name, how, source in given))


def vault_names(transport: Transport) -> tuple[str, ...]:
    """The secrets of the vault that a definition names, sorted, each once."""
    found = _references(transport)
    return tuple(sorted({each.place for _, _, each in found if each.scheme == "vault"}))


def exposure(transport: Transport) -> tuple[str, ...]:
    """Who else can read the secrets that a server is given, a sentence for each way."""
    told = {"env": _OF_PROCESS, "file": _OF_FILES, "header": _OF_HEADERS}
    ways = {how for _, how, _ in _references(transport)}
    return tuple(told[how] for how in sorted(ways))


def _references(transport: Transport) -> Iterator[tuple[str, str, SecretReference]]:
    if isinstance(transport, HttpTransport):
        yield from _read_as(transport.headers.items(), "header")
        return
    yield from _read_as(transport.env.items(), "env")
    if not isinstance(transport, StdioTransport):
        yield from _read_as(transport.files.items(), "file")


def _read_as(
    pairs: Iterable[tuple[str, str]], how: str
) -> Iterator[tuple[str, str, SecretReference]]:
    for name, value in pairs:
        found = reference(value)
        if found is not None:
            yield name, how, found
