"""What a gate knows already, so that a proposal changes nothing that is there."""

from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from gatelodge.cli.terminal import CommandRun
from gatelodge.core.catalog.references import reference
from gatelodge.core.fleet.merge import GovernedServer


class GateFacts(Struct, frozen=True, kw_only=True):
    """Its servers, members and groups, and the origins where it is reached; `asked` if it was."""

    asked: bool = False
    servers: tuple[GovernedServer, ...] = ()
    aliases: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    origins: tuple[str, ...] = ()


def gate_facts(terminal: CommandRun, gate_urls: tuple[str, ...]) -> GateFacts:
    """What a gate that runs says; nothing where none does: an import starts none."""
    given = terminal.options.url
    origins = (*gate_urls, *([given] if given else ()))
    if not given and not _runs(terminal):
        return GateFacts(origins=origins)
    gate = terminal.gate
    servers = list(gate.every(gate.here("servers")))
    public = "" if given else terminal.loaded.settings.listen.public_url
    return GateFacts(
        asked=True,
        servers=tuple(_governed(row) for row in servers if row.get("status") != "disabled"),
        aliases=frozenset(str(row["alias"]) for row in servers),
        members=frozenset(str(row["email"]) for row in gate.every(gate.here("members"))),
        groups=frozenset(str(row["name"]) for row in gate.every(gate.here("groups"))),
        origins=(*origins, *([public] if public else ())),
    )


def _runs(terminal: CommandRun) -> bool:
    from gatelodge.cli.client import LocalSocket

    return LocalSocket.found(terminal.loaded.settings) is not None


def _governed(row: dict[str, Any]) -> GovernedServer:
    transport = row.get("transport") or {}
    return GovernedServer(
        alias=str(row["alias"]),
        source=str(transport.get("source") or ""),
        args=tuple(str(each) for each in transport.get("args") or ()),
        vault=_vault_names(transport),
        url=_bare(str(transport.get("url") or "")),
    )


def _vault_names(transport: dict[str, Any]) -> dict[str, str]:
    given = {**(transport.get("env") or {}), **(transport.get("headers") or {})}
    found = ((name, reference(str(value))) for name, value in given.items())
    return {name: each.place for name, each in found if each and each.scheme == "vault"}


def _bare(url: str) -> str:
    # A query is told with stars, so the address alone says which server it is.
    return urlsplit(url)._replace(query="", fragment="").geturl() if url else ""
