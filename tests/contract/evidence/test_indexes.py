"""What indexes say, in every shape in which they say it, and what they cannot be right about."""

import asyncio

import pytest
from tests.contract.evidence.places import NOW, subject
from tests.fakes.world import StillClock

from gatelodge.adapters.evidence.npm_index import NpmIndex
from gatelodge.adapters.evidence.package_indexes import PackageIndexes
from gatelodge.adapters.evidence.pypi_index import PypiIndex
from gatelodge.core.instant import parse_rfc3339
from gatelodge.core.trust.evidence import KnownVulnerability
from gatelodge.ports.trust.evidence import EvidenceGap

pytestmark = pytest.mark.anyio

SERVER = "pypi:Some_Server@2026.10.19"


def wheel(version, at, **more):
    name = f"some_server-{version}-py3-none-any.whl"
    return {"filename": name, "upload-time": f"{at}T10:00:00Z", "yanked": False, **more}


def simple(*files, **more):
    return {"meta": {"api-version": "1.4"}, "name": "some-server", "files": files, **more}


def project(version="2026.10.19", **more):
    return {"info": {"version": version, "author": "x"}, "vulnerabilities": [], **more}


FILES = (wheel("2026.9.1", "2026-09-01"), wheel("2026.10.19", "2026-10-19"))


def python(place, kept=None):
    return PypiIndex(kept or place.kept(), lambda _: f"{place.url}/simple")


def node(place):
    return NpmIndex(place.kept(), lambda _: place.url)


async def test_an_index_of_python_says_all_that_upstream_says(place):
    owners = {"organization": "acme", "roles": [{"role": "Owner", "user": "ada"}, {"role": 3}]}
    proven = {"provenance": f"{place.url}/integrity"}
    files = (FILES[0], {**FILES[1], **proven})
    place.put("/simple/some-server/", simple(*files, **{"project-status": {"status": "active"}}))
    place.put("/pypi/some-server/json", project(ownership=owners))
    found = await python(place).gather(subject(SERVER))
    assert (found.source, found.at) == (f"the index at 127.0.0.1:{place.port}", NOW)
    assert (found.released_at, found.time_doubt) == (parse_rfc3339("2026-10-19T10:00:00Z"), "")
    assert (found.lifecycle, found.latest, found.versions) == ("active", "2026.10.19", 2)
    assert found.publishers == ("acme", "ada")
    assert (found.attested, found.vulnerabilities, found.missing) == (True, (), ())


async def test_a_mirror_with_one_of_both_documents_is_read_and_says_what_it_misses(place):
    place.put("/simple/some-server/", simple(*FILES))
    found = await python(place).gather(subject(SERVER))
    assert (found.versions, found.lifecycle, found.attested) == (2, "active", None)
    assert (found.vulnerabilities, found.publishers) == (None, ())
    assert set(found.missing) == {
        "owners",
        "project status",
        "attestations",
        "vulnerabilities of this version",
    }
    place.documents.clear()
    release = {"upload_time_iso_8601": "2026-10-19T10:00:00.5Z", "yanked": False}
    place.put("/pypi/some-server/json", project(releases={"2026.10.19": [release]}))
    found = await python(place).gather(subject(SERVER))
    assert (found.versions, found.lifecycle, found.vulnerabilities) == (1, "active", ())


async def test_what_a_version_was_taken_back_for_is_told(place):
    gone = {"yanked": "it\x1b[2J\nbreaks \u202eevil"}
    place.put("/simple/some-server/", simple(FILES[0], {**FILES[1], **gone}))
    found = await python(place).gather(subject(SERVER))
    assert (found.lifecycle, found.lifecycle_reason) == ("yanked", "it [2J breaks evil")
    assert found.latest == "2026.9.1"
    held = {"project-status": {"status": "quarantined", "reason": "malware"}}
    place.put("/simple/some-server/", simple(*FILES, **held))
    found = await python(place).gather(subject(SERVER))
    assert (found.lifecycle, found.lifecycle_reason) == ("quarantined", "malware")


async def test_vulnerabilities_of_the_newest_version_say_nothing_of_another(place):
    bad = {"id": "PYSEC-1", "summary": "bad", "fixed_in": ["2026.10.20"], "aliases": []}
    withdrawn = {**bad, "id": "PYSEC-2", "withdrawn": "2026-11-01T00:00:00Z"}
    place.put("/simple/some-server/", simple(*FILES, wheel("2026.11.1", "2026-11-01")))
    place.put("/pypi/some-server/json", project("2026.11.1"))
    assert (await python(place).gather(subject(SERVER))).vulnerabilities is None
    own = project(vulnerabilities=[bad, withdrawn])
    place.put("/pypi/some-server/2026.10.19/json", own)
    found = await python(place).gather(subject(SERVER))
    assert found.vulnerabilities == (
        KnownVulnerability(id="PYSEC-1", summary="bad", fixed_in=("2026.10.20",)),
    )
    place.put("/pypi/some-server/2026.10.19/json", project(vulnerabilities=[bad, {"id": 5}]))
    assert (await python(place).gather(subject(SERVER))).vulnerabilities is None


async def test_an_index_of_which_every_field_is_wrong_states_nothing(place):
    file = {"filename": FILES[1]["filename"], "upload-time": 5, "yanked": [], "provenance": {}}
    place.put("/simple/some-server/", simple(file, 7, {"filename": None}, {"filename": "x.txt"}))
    place.put("/pypi/some-server/json", {"info": {"version": 5}, "ownership": "me"})
    found = await python(place).gather(subject(SERVER))
    assert (found.released_at, found.lifecycle, found.publishers) == (None, "", ())
    assert found.vulnerabilities is None


async def test_each_document_is_asked_for_once_within_its_time(place):
    clock = StillClock(NOW)
    place.put("/simple/some-server/", simple(*FILES))
    source = python(place, place.kept(clock))
    several = await asyncio.gather(*(source.gather(subject(SERVER)) for _ in range(5)))
    assert several == several[:1] * 5
    assert isinstance(await source.gather(subject("pypi:some-server@1.0")), EvidenceGap)
    assert sorted(place.asked_for) == ["/pypi/some-server/json", "/simple/some-server/"]
    clock.step(86_401)
    await source.gather(subject(SERVER))
    assert len(place.asked_for) == 4


async def test_the_index_that_the_lock_names_is_asked_and_a_login_is_shown_to_its_own_host(place):
    own = place.url.replace("//", "//reader:p%40ss@")
    source = PypiIndex(place.kept(), lambda _: f"{own}/simple")
    place.put("/other/simple/some-server/", simple(*FILES))
    found = await source.gather(subject(SERVER, f"{place.url}/other/simple/"))
    assert found.versions == 2
    assert "Authorization: Basic cmVhZGVyOnBAc3M=" in place.heads[0]
    abroad = PypiIndex(place.kept(), lambda _: "https://reader:word@index.test/simple")
    await abroad.gather(subject(SERVER, f"{place.url}/other/simple"))
    assert "Authorization" not in place.heads[-1]


PACKAGE = "npm:@acme/server@1.1.0"


def packument(times, *, version=None, **more):
    versions = {each: {"name": "@acme/server"} for each in times}
    versions["1.1.0"] |= version or {}
    told = {each: f"{day}T10:00:00.000Z" for each, day in times.items()}
    return {"name": "@acme/server", "versions": versions, "time": told, **more}


TIMES = {"1.0.0": "2026-05-01", "1.1.0": "2026-08-01"}


async def test_a_registry_of_node_says_all_that_upstream_says(place):
    attested = {"attestations": {"url": "x"}, "signatures": [{"keyid": "x"}]}
    version = {"dist": attested, "_npmUser": {"name": "build"}}
    people = {"maintainers": [{"name": "ada", "email": "a@b.c"}], "dist-tags": {"latest": "1.1.0"}}
    place.put("/@acme/server", packument(TIMES, version=version, **people))
    found = await node(place).gather(subject(PACKAGE))
    assert found.source == f"the registry at 127.0.0.1:{place.port}"
    assert (found.released_at, found.time_doubt) == (parse_rfc3339("2026-08-01T10:00:00Z"), "")
    assert (found.lifecycle, found.latest, found.attested) == ("active", "1.1.0", True)
    assert (found.publishers, found.missing) == (("ada", "build"), ())


async def test_a_mirror_that_strips_fields_states_nothing_of_them(place):
    place.put("/@acme/server", packument(TIMES))
    found = await node(place).gather(subject(PACKAGE))
    assert (found.lifecycle, found.publishers, found.attested) == ("", (), None)
    assert set(found.missing) == {"maintainers", "deprecation", "attestations"}


async def test_a_registry_that_signs_would_name_an_attestation(place):
    place.put("/@acme/server", packument(TIMES, version={"dist": {"signatures": [{}]}}))
    assert (await node(place).gather(subject(PACKAGE))).attested is False


@pytest.mark.parametrize(
    ("document", "lifecycle"),
    [
        (packument(TIMES, version={"deprecated": "use another"}), "deprecated"),
        (packument(TIMES, version={"deprecated": ""}), "active"),
        ({"name": "@acme/server", "time": {"unpublished": {"name": "x"}}}, "deleted"),
        (packument(TIMES, **{"dist-tags": {"latest": "0.0.1-security"}}), "quarantined"),
    ],
)
async def test_the_end_of_a_node_package_is_told(place, document, lifecycle):
    place.put("/@acme/server", document)
    assert (await node(place).gather(subject(PACKAGE))).lifecycle == lifecycle


async def test_each_package_is_asked_for_at_the_index_of_its_kind(place):
    place.put("/@acme/server", packument(TIMES))
    both = PackageIndexes({"pypi": python(place), "npm": node(place)})
    assert (await both.gather(subject(PACKAGE))).versions == 2
    image = await both.gather(subject(f"oci:localhost/x@sha256:{'a' * 64}"))
    assert (both.section, image) == ("index", EvidenceGap("It is no package of an index."))


async def test_a_version_that_an_index_does_not_list_is_not_known(place):
    place.put("/@acme/server", packument(TIMES))
    place.put("/simple/some-server/", simple(*FILES))
    assert isinstance(await node(place).gather(subject("npm:@acme/server@9.9.9")), EvidenceGap)
    assert isinstance(await python(place).gather(subject("pypi:some-server@9.9")), EvidenceGap)
    assert isinstance(await node(place).gather(subject(SERVER)), EvidenceGap)
    assert isinstance(await python(place).gather(subject(PACKAGE)), EvidenceGap)


async def test_a_version_that_came_from_an_index_and_is_gone_there_was_deleted(place):
    place.put("/@acme/server", packument(TIMES))
    place.put("/simple/some-server/", simple(*FILES))
    for source, text, index in (
        (node(place), "npm:@acme/server@9.9.9", place.url),
        (python(place), "pypi:some-server@9.9", f"{place.url}/simple"),
    ):
        found = await source.gather(subject(text, index))
        assert (found.lifecycle, found.released_at) == ("deleted", None)


async def test_a_time_that_the_order_of_versions_contradicts_does_not_count(place):
    place.put("/@acme/server", packument({**TIMES, "1.1.1": "2025-01-01"}))
    found = await node(place).gather(subject(PACKAGE))
    assert "reverse order" in found.time_doubt
