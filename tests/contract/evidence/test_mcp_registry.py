"""How a registry lists a server, and what its server.json declares: asked, or imported."""

import json

import pytest
from tests.contract.evidence.places import NOW, subject
from tests.fakes.world import StillClock

from gatelodge.adapters.evidence.mcp_registry import McpManifest, McpRegistry, RegistryRecords
from gatelodge.core.instant import parse_rfc3339
from gatelodge.core.trust.evidence import PackageEvidence
from gatelodge.ports.trust.evidence import EvidenceGap

pytestmark = pytest.mark.anyio

NAME = "com.example.tools/server"
SOURCE = "npm:@acme/server@1.1.0"
SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
OFFICIAL = "io.modelcontextprotocol.registry/official"


def asked(name=NAME, text=SOURCE):
    return subject(text, package=PackageEvidence(source="itself", at=NOW, server_name=name))


def server(version="1.1.0", identifier="@acme/server", **more):
    package = {"registryType": "npm", "identifier": identifier, "version": version}
    package |= {"transport": {"type": "stdio"}}
    words = {"$schema": SCHEMA, "name": NAME, "description": "A server.", "version": version}
    return {**words, "packages": [package], **more}


def record(status="active", at="2026-08-02", *, latest=True, **more):
    said = {"status": status, "publishedAt": f"{at}T00:00:00Z", "isLatest": latest}
    return {"server": server(**more), "_meta": {OFFICIAL: said}}


def records(place, directory=None):
    return RegistryRecords(place.kept(), StillClock(NOW), lambda: place.url, lambda: directory)


async def listed(place, *said, subject=None, directory=None):
    place.put(f"/v0.1/servers/{NAME}/versions", {"servers": said, "metadata": {"count": 1}})
    return await McpRegistry(records(place, directory)).gather(subject or asked())


async def test_a_server_is_listed_under_a_proven_name_and_names_its_package(place):
    old = record(at="2026-05-01", latest=False, version="1.0.0")
    found = await listed(place, record(), old)
    assert found.source == f"the MCP registry at 127.0.0.1:{place.port}"
    assert (found.listed, found.name, found.namespace) == (True, NAME, "domain")
    assert (found.status, found.names_package) == ("active", True)
    assert found.published_at == parse_rfc3339("2026-08-02T00:00:00Z")
    assert place.heads[0].startswith("GET /v0.1/servers/com.example.tools%2Fserver/versions ")


async def test_what_is_said_of_another_version_is_no_time_of_this_one(place):
    found = await listed(place, record(version="1.0.0"))
    assert (found.names_package, found.published_at) == (True, None)


async def test_a_registry_that_lists_another_package_says_so(place):
    found = await listed(place, record(identifier="@other/server"))
    assert found.names_package is False
    remote = record(packages=[], remotes=[{"type": "sse", "url": "https://a.example/mcp"}])
    assert (await listed(place, remote)).names_package is None


async def test_a_server_that_was_deleted_or_is_not_there_is_told(place):
    assert (await listed(place, record("deleted"))).status == "deleted"
    assert not (await McpRegistry(records(place)).gather(asked("com.example/none"))).listed
    # What it answers with under another name is not what was asked for.
    other = record()
    other["server"]["name"] = "com.example/other"
    assert not (await listed(place, other)).listed


async def test_without_a_claimed_name_no_registry_is_asked(place):
    found = await McpRegistry(records(place)).gather(subject(SOURCE))
    assert isinstance(found, EvidenceGap)
    assert not place.asked_for


async def test_a_record_without_a_registrys_own_words_proves_nothing(place):
    found = await listed(
        place, {"server": server(), "_meta": {"com.example": {"status": "active"}}}
    )
    assert isinstance(found, EvidenceGap)


async def test_both_sections_are_one_request(place):
    both = records(place)
    await listed(place, record())
    place.asked_for.clear()
    assert (await McpRegistry(both).gather(asked())).listed
    assert (await McpManifest(both).gather(asked())).valid
    assert len(place.asked_for) == 1


async def test_what_was_imported_is_read_before_anybody_is_asked(place, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.json").write_text(json.dumps(record(status="deprecated")))
    (tmp_path / "junk.json").write_bytes(b"{" + b"[" * 9_000)
    (tmp_path / "deep.json").write_bytes(b'{"name":"x","a":' + b"[" * 900 + b"]" * 900 + b"}")
    made = records(place, tmp_path)
    found = await McpRegistry(made).gather(asked())
    assert (found.source, found.status) == ("imported records of a registry", "deprecated")
    # Also for a package that claims no name: the record names the package.
    assert (await McpRegistry(made).gather(subject(SOURCE))).names_package is True
    assert not place.asked_for


async def test_a_server_json_alone_declares_and_proves_nothing(place, tmp_path):
    (tmp_path / "server.json").write_text(json.dumps(server()))
    made = records(place, tmp_path)
    assert isinstance(await McpRegistry(made).gather(asked()), EvidenceGap)
    declared = await McpManifest(made).gather(asked())
    assert (declared.name, declared.valid, declared.inputs) == (NAME, True, 0)


async def test_a_declaration_of_another_package_or_an_unknown_schema_is_none_of_it(place):
    await listed(place, record(identifier="@other/server"))
    assert isinstance(await McpManifest(records(place)).gather(asked()), EvidenceGap)
    odd = record()
    odd["server"]["$schema"] = SCHEMA.replace("2025-12-11", "2031-01-01")
    await listed(place, odd)
    assert isinstance(await McpManifest(records(place)).gather(asked()), EvidenceGap)
