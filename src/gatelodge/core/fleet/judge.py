"""Whether an entry can become a server behind the gate, and what to do about one that cannot."""

import re
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.fleet.entry import FleetEntry
from gatelodge.core.fleet.launcher import LaunchedCommand
from gatelodge.core.fleet.looks import holds_placeholder
from gatelodge.core.hosting.source import read_source
from gatelodge.core.http.egress import judge
from gatelodge.core.http.endpoint import read_url

_SILENT: Final = frozenset((
    *("-y", "--yes", "-q", "--quiet", "--no-progress", "--silent", "--prefer-offline"),
    *("-i", "-t", "-it", "-ti", "--interactive", "--tty", "--rm", "--init", "--name", "--pull"),
    *("--platform", "-a", "-A", "--allow-all", "--no-prompt", "--bun", "--restart", "-l"),
    "--no-install", "--label", "--refresh", "--isolated", "--loglevel", "-d",
))  # fmt: skip
"""Options of launchers that say nothing of what runs."""
_ALLOWED = re.compile(r"--allow-[a-z]+")
_LAPTOP = re.compile(
    r"(?:^|=|file://)(?:~(?:/|$)|/(?:home|Users|root|mnt|Volumes|private|var/folders)/|[A-Za-z]:[\\/]"
    r"|\\\\|\.{1,2}(?:[\\/]|$))|\$\{?HOME\b|%USERPROFILE%",
    re.IGNORECASE,
)


class LeftEntry(Struct, frozen=True):
    """Why an entry is not taken, and what to do about it."""

    reason: str
    remedy: str


class TakingRules(Struct, frozen=True, kw_only=True):
    """What an admin said about what is taken.

    `gates` are the origins at which a gate stands. `private` takes addresses of own networks too,
    and plain HTTP. `pins` are versions for packages that name none, by `KIND:NAME`. `off` takes
    entries that are switched off too.
    """

    gates: tuple[str, ...] = ()
    private: bool = False
    pins: dict[str, str] = {}
    off: bool = False


def judged(entry: FleetEntry, rules: TakingRules) -> LeftEntry | None:
    """Why an entry is left, whatever others say; None for one that may be taken."""
    if entry.fault:
        return LeftEntry(entry.fault, "Mend the entry, and import again.")
    if entry.launched.url and is_gate(entry.launched.url, rules.gates):
        return LeftEntry("it is the gate already", "Nothing is to be done.")
    if entry.off and not rules.off:
        return LeftEntry("it is switched off there", "Take it even so with --with-disabled.")
    if entry.misplaced:
        return _left_for_secret(entry)
    found = entry.launched
    if found.kind == "remote":
        return _judged_url(found.url, rules)
    return _judged_program(found) or _judged_words(entry)


def is_gate(url: str, gates: tuple[str, ...]) -> bool:
    """True for an endpoint of one of these gates."""
    return any(origin_of(url) == origin_of(gate) for gate in gates)


def origin_of(url: str) -> str:
    """Scheme, host and port in one spelling; "" for what is no address."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return ""
    host = (parts.hostname or "").rstrip(".").lower()
    return f"{parts.scheme}://{host}:{port}" if host else ""


def address_kind(url: str) -> str:
    """What is wrong with where an address leads: "plain", "private", "both" or ""."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".").lower()
    except ValueError:
        return ""
    own = host == "localhost" or host.endswith((".localhost", ".local", ".internal", ".lan"))
    try:
        own = own or judge(host).reach != "global"
    except ValueError:
        own = own or ("." not in host and ":" not in host)
    plain = parts.scheme == "http"
    return "both" if own and plain else "private" if own else "plain" if plain else ""


def _judged_url(url: str, rules: TakingRules) -> LeftEntry | None:
    if holds_placeholder(url):
        return LeftEntry(
            "a placeholder stands in its address, which everybody can see",
            "Write the address out, and send what is secret as a header: gatelodge server add.",
        )
    kind = address_kind(url)
    if kind and not rules.private:
        what = {"plain": "it is plain HTTP", "private": "its address is of an own network"}
        return LeftEntry(
            what.get(kind, "it is plain HTTP to an address of an own network"),
            "Take it with --allow-private where the gate is meant to reach it; a server on a "
            "laptop itself has to be hosted.",
        )
    try:
        read_url(url, private=rules.private, opens="")
    except Invalid as fault:
        return LeftEntry(fault.detail, fault.remedy or "Add it by hand: gatelodge server add.")
    return None


def _judged_program(found: LaunchedCommand) -> LeftEntry | None:
    if found.kind == "program":
        return LeftEntry(
            "it is a program of that machine",
            "Publish it as a package or an image; or install it beside the gate: gatelodge server "
            "add ALIAS -- COMMAND.",
        )
    if not found.name:
        return LeftEntry("its launcher names no package", "Name it: gatelodge server add.")
    odd = [o for o in found.options if o not in _SILENT and not _ALLOWED.fullmatch(o)]
    if odd:
        return LeftEntry(
            f"{', '.join(odd[:5])}: says nothing to a hosted server",
            "Host it without: gatelodge server add ALIAS SOURCE, and see --help for its files, its "
            "variables and its network.",
        )
    try:
        digest = "sha256:" + "0" * 64 if found.kind == "oci" else "0"
        read_source(f"{found.kind}:{found.name}@{digest}")
    except Invalid:
        return LeftEntry(
            "its package comes from no registry",
            "Publish it, or build an archive: gatelodge server add ALIAS mcpb:FILE.",
        )
    return None


def _judged_words(entry: FleetEntry) -> LeftEntry | None:
    words = (*entry.launched.args, entry.launched.script)
    if any(holds_placeholder(word) for word in words):
        return LeftEntry(
            "a placeholder stands in an argument, which everybody can see",
            "Give it as a variable: gatelodge server add ALIAS SOURCE --env NAME=vault:NAME.",
        )
    if entry.cwd or any(_LAPTOP.search(word) for word in words):
        return LeftEntry(
            "it works in a folder of that machine, which a hosted server cannot see",
            "Say what it is to work on instead: gatelodge server add ALIAS SOURCE ARGS.",
        )
    return None


def _left_for_secret(entry: FleetEntry) -> LeftEntry:
    what = ", ".join(str(each) for each in entry.misplaced[:5])
    if any(each.place == "url" for each in entry.misplaced):
        return LeftEntry(
            f"a secret stands in its address: {what}",
            "Make a new key, and send it as a header: gatelodge server add ALIAS --url URL "
            "--header 'Authorization=Bearer vault:NAME', then gatelodge secret set NAME.",
        )
    return LeftEntry(
        f"a secret stands in an argument, which everybody on its machine can see: {what}",
        "Make a new key, and give it as a variable that the server reads: gatelodge server add "
        "ALIAS SOURCE --env NAME=vault:NAME, then gatelodge secret set NAME.",
    )
