"""What holds for whatever source of evidence is asked over the network."""

import pytest
from tests.contract.evidence.places import FAULTS, subject

from gatelodge.adapters.evidence.npm_index import NpmIndex
from gatelodge.adapters.evidence.pypi_index import PypiIndex
from gatelodge.core.trust.evidence import SECTIONS
from gatelodge.ports.trust.evidence import EvidenceGap

pytestmark = pytest.mark.anyio

LOGIN = "reader:s3cret-word"
PYPI, NPM = "pypi:some-server@1.0.0", "npm:@acme/server@1.0.0"


def _address(place):
    return place.url.replace("//", f"//{LOGIN}@")


SOURCES = {
    "pypi": (PYPI, lambda place, kept: PypiIndex(kept, lambda _: _address(place) + "/simple")),
    "npm": (NPM, lambda place, kept: NpmIndex(kept, lambda _: _address(place))),
}


@pytest.fixture(params=SOURCES)
def kind(request):
    return SOURCES[request.param]


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_a_source_does_wrong_is_a_gap_that_says_why(place, kind, fault):
    text, make = kind
    place.bad = FAULTS[fault]
    source = make(place, place.kept(seconds=0.3 if fault == "silent" else 5.0))
    found = await source.gather(subject(text))
    assert isinstance(found, EvidenceGap)
    assert source.section in SECTIONS
    assert "s3cret" not in found.why
    assert place.url.partition("//")[2] in found.why
    # A source that failed is left alone for a while.
    asked = len(place.asked_for)
    await source.gather(subject(text))
    assert len(place.asked_for) == asked


async def test_a_source_that_is_away_is_a_gap(place, kind):
    text, make = kind
    await place.stop()
    found = await make(place, place.kept()).gather(subject(text))
    assert isinstance(found, EvidenceGap)


async def test_a_place_on_an_own_network_is_asked_with_an_operators_word_only(place, kind):
    text, make = kind
    kept = place.kept()
    kept._private = frozenset()
    found = await make(place, kept).gather(subject(text))
    assert isinstance(found, EvidenceGap)
    assert "could not be asked" in found.why
    assert not place.asked_for


@pytest.mark.parametrize("address", ["", "no address", "ftp://place/simple", "http://[::1", "/x"])
async def test_without_an_address_nobody_is_asked(place, kind, address):
    text, make = kind
    source = make(place, place.kept())
    source._settings = lambda *_: address
    assert isinstance(await source.gather(subject(text)), EvidenceGap)
    assert not place.asked_for
