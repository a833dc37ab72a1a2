"""Configuration completeness: whether what it needs is declared, and it starts from that."""

from collections.abc import Iterable
from typing import Final

from gatelodge.core.trust.evidence import TrustEvidence
from gatelodge.core.trust.signals.reading import SignalReading, not_known, read_from

_OPEN: Final = frozenset(
    (
        "0bsd", "agpl-3.0", "apache-2.0", "artistic-2.0", "blueoak-1.0.0", "bsd-2-clause",
        "bsd-3-clause", "bsl-1.0", "epl-2.0", "gpl-2.0", "gpl-3.0", "isc", "lgpl-2.1", "lgpl-3.0",
        "mit", "mit-0", "mpl-2.0", "postgresql", "psf-2.0", "unlicense", "upl-1.0", "zlib",
    )
)  # fmt: skip


def read_completeness(found: TrustEvidence) -> Iterable[SignalReading]:
    """CC1 to CC5."""
    yield from _manifest(found)
    yield _licence(found)
    yield _start(found)


def is_open_licence(text: str) -> bool:
    """True for an SPDX expression, each part of which is a licence of the OSI."""
    words = text.lower().replace("(", " ").replace(")", " ").split()
    if "with" in words:
        return False
    names = [word for word in words if word not in ("and", "or")]
    plain = (
        word.removesuffix("-only").removesuffix("-or-later").removesuffix("+") for word in names
    )
    return bool(names) and all(name in _OPEN for name in plain)


def _manifest(found: TrustEvidence) -> Iterable[SignalReading]:
    section = found.manifest
    if section is None:
        why = found.gaps.get("manifest", "There is no server.json of it.")
        yield from (not_known(each, why) for each in ("CC1", "CC2", "CC3"))
        return
    yield read_from(
        section,
        "CC1",
        1.0 if section.valid else 0.0,
        "valid" if section.valid else section.fault or "not valid",
        "It is what its own schema asks for." if section.valid else "It breaks its own schema.",
        "" if section.valid else "Its author corrects server.json.",
    )
    share = section.described / section.inputs if section.inputs else 1.0
    yield read_from(
        section,
        "CC2",
        min(1.0, share),
        f"{section.described} of {section.inputs} inputs described",
        "Whoever installs it knows what to give it.",
        "" if share >= 1 else "Its author describes the rest.",
    )
    exposed = section.exposed_secrets
    yield read_from(
        section,
        "CC3",
        0.0 if exposed else 1.0,
        ", ".join(exposed[:5]) or "declared",
        "Secrets that are not declared so are shown like any other word."
        if exposed
        else "What is secret is declared so.",
        "Give them by reference (vault:NAME) whatever it declares." if exposed else "",
    )


def _licence(found: TrustEvidence) -> SignalReading:
    package, repository = found.package, found.repository
    said = (package.license if package else "") or (repository.license if repository else "")
    section = package if package and package.license else repository or package
    if section is None:
        return not_known("CC4", "Its package was not read.")
    good = is_open_licence(said)
    return read_from(
        section,
        "CC4",
        1.0 if good else 0.0,
        said[:80] or "none",
        "Its licence is one of the OSI." if good else "Its licence is none that the OSI knows.",
        "" if good else "Have somebody read its licence.",
    )


def _start(found: TrustEvidence) -> SignalReading:
    section = found.start
    if section is None:
        return not_known("CC5", found.gaps.get("start", "It was not started yet."))
    return read_from(
        section,
        "CC5",
        1.0 if section.started else 0.0,
        f"{section.milliseconds} ms"
        if section.milliseconds
        else "it did"
        if section.started
        else section.why or "it did not start",
        "It started from what is declared."
        if section.started
        else "It does not start from what is declared.",
        "" if section.started else "Take another version, or complete its configuration.",
    )
