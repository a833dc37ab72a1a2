"""What holds for whatever source of evidence is asked over the network."""

import pytest
from tests.contract.evidence.places import FAULTS, NOW, subject
from tests.fakes.world import StillClock

from gatelodge.adapters.evidence.mcp_registry import McpManifest, McpRegistry, RegistryRecords
from gatelodge.adapters.evidence.npm_index import NpmIndex
from gatelodge.adapters.evidence.pypi_index import PypiIndex
from gatelodge.core.trust.evidence import SECTIONS, PackageEvidence
from gatelodge.ports.trust.evidence import EvidenceGap

pytestmark = pytest.mark.anyio

LOGIN = "reader:s3cret-word"
PYPI, NPM = "pypi:some-server@1.0.0", "npm:@acme/server@1.0.0"


def _address(place):
    return place.url.replace("//", f"//{LOGIN}@")


def _records(place, kept):
    # Settings hold no login of a registry, but what stands in one shows nowhere either.
    return RegistryRecords(kept, StillClock(NOW), lambda: _address(place), lambda: None)


SOURCES = {
    "registry": (PYPI, lambda place, kept: McpRegistry(_records(place, kept))),
    "manifest": (PYPI, lambda place, kept: McpManifest(_records(place, kept))),
    "pypi": (PYPI, lambda place, kept: PypiIndex(kept, lambda _: _address(place) + "/simple")),
    "npm": (NPM, lambda place, kept: NpmIndex(kept, lambda _: _address(place))),
}


def asked(text):
    package = PackageEvidence(source="itself", at=NOW, server_name="io.github.acme/server")
    return subject(text, package=package)


@pytest.fixture(params=SOURCES)
def kind(request):
    return SOURCES[request.param]


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_a_source_does_wrong_is_a_gap_that_says_why(place, kind, fault):
    text, make = kind
    place.bad = FAULTS[fault]
    source = make(place, place.kept(seconds=0.3 if fault == "silent" else 5.0))
    found = await source.gather(asked(text))
    assert isinstance(found, EvidenceGap)
    assert source.section in SECTIONS
    assert "s3cret" not in found.why
    assert place.url.partition("//")[2] in found.why
    # A source that failed is left alone for a while.
    before = len(place.asked_for)
    await source.gather(asked(text))
    assert len(place.asked_for) == before


async def test_a_source_that_is_away_is_a_gap(place, kind):
    text, make = kind
    await place.stop()
    found = await make(place, place.kept()).gather(asked(text))
    assert isinstance(found, EvidenceGap)


async def test_a_place_on_an_own_network_is_asked_with_an_operators_word_only(place, kind):
    text, make = kind
    kept = place.kept()
    kept._private = frozenset()
    found = await make(place, kept).gather(asked(text))
    assert isinstance(found, EvidenceGap)
    assert "could not be asked" in found.why
    assert not place.asked_for


@pytest.mark.parametrize("address", ["", "no address", "ftp://place/simple", "http://[::1", "/x"])
async def test_without_an_address_nobody_is_asked(place, kind, address):
    text, make = kind
    source = make(place, place.kept())
    place_of = getattr(source, "_records", source)
    place_of._settings = place_of._base = lambda *_: address
    assert isinstance(await source.gather(asked(text)), EvidenceGap)
    assert not place.asked_for
