"""Advisories that an operator imported are read where they lie; none is left out in silence."""

import json
import os
import zipfile

import pytest
from tests.contract.evidence.places import NOW, subject
from tests.fakes.world import StillClock

from gatelodge.adapters.evidence.advisories import AdvisoryBounds, ImportedAdvisories
from gatelodge.core.instant import parse_rfc3339
from gatelodge.ports.trust.evidence import EvidenceGap

pytestmark = pytest.mark.anyio

SERVER = "pypi:some-server@1.0"


def advisory(number, name="some_server", ecosystem="PyPI", **more):
    package = {"ecosystem": ecosystem, "name": name}
    events = [{"introduced": "0"}, {"fixed": "1.1.0"}]
    affected = [{"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]
    told = {"id": f"OSV-{number}", "modified": f"2026-11-{number:02}T00:00:00Z", **more}
    return json.dumps({"affected": affected, **told}).encode() + b"\n"


def imported(folder, **bounds):
    bounds = AdvisoryBounds(**bounds)
    return ImportedAdvisories(lambda: folder, StillClock(NOW), bounds)


async def ask(folder, text=SERVER, **bounds):
    return await imported(folder, **bounds).gather(subject(text))


def fill(folder):
    """One advisory in a folder, one in an archive, and those of others."""
    (folder / "PyPI").mkdir()
    (folder / "PyPI/1.json").write_bytes(advisory(1))
    (folder / "PyPI/4.json").write_bytes(advisory(4, "another"))
    (folder / "PyPI/notes.txt").write_text("junk")
    with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/2.json", advisory(2))
        archive.writestr("x/3.json", advisory(3, "@acme/some-server", "npm"))
    (folder / "npm.zip").write_bytes(b"no archive, and of another ecosystem")


async def test_folders_and_archives_are_matched_to_the_version(tmp_path):
    fill(tmp_path)
    found = await ask(tmp_path)
    assert [each.id for each in found.vulnerabilities] == ["OSV-1", "OSV-2"]
    assert found.vulnerabilities[0].fixed_in == ("1.1.0",)
    assert found.as_of == parse_rfc3339("2026-11-04T00:00:00Z")
    assert (found.at, found.source) == (NOW, "imported advisories, 4 files")
    clean = await ask(tmp_path, "pypi:some-server@1.1")
    assert clean.vulnerabilities == ()
    os.truncate(tmp_path / "npm.zip", 0)
    (tmp_path / "npm.zip").rename(tmp_path / "pypi.zip")
    found = await ask(tmp_path, "npm:@acme/some-server@1.0.0")
    assert [each.id for each in found.vulnerabilities] == ["OSV-3"]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("1.json", b'{"id": "OSV-9", "affected": [{"package": {"name": "some-server'),
        ("1.json", b'{"id": 5, "some-server": 1}'),
        ("1.json", b"\xff\xfe{\x00"),
        ("1.json", b""),
        ("1.json", b'{"some-server":' + b"[" * 5_000 + b"]" * 5_000 + b"}"),
        ("1.json", b"{" + b" " * (2 << 20) + b"}"),
        ("1.zip", b"PK\x03\x04 and no more"),
    ],
)
async def test_a_file_that_cannot_be_read_is_counted_and_gives_no_clean_bill(tmp_path, name, body):
    (tmp_path / name).write_bytes(body)
    (tmp_path / "2.json").write_bytes(advisory(2))
    clean = await ask(tmp_path, "pypi:some-server@1.1")
    assert isinstance(clean, EvidenceGap)
    assert "1 of 2 files" in clean.why
    found = await ask(tmp_path)
    assert len(found.vulnerabilities) == 1
    assert "1 of 2 files" in found.source


async def test_a_broken_member_of_an_archive_is_counted(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("1.json", advisory(1))
        archive.writestr("2.json", advisory(2, "another"))
    body = (tmp_path / "all.zip").read_bytes()
    (tmp_path / "all.zip").write_bytes(body.replace(b"OSV-1", b"OSV-7", 1))
    found = await ask(tmp_path)
    assert isinstance(found, EvidenceGap)
    assert "1 of 2 files" in found.why


async def test_where_nothing_was_imported_nothing_is_known(tmp_path):
    for source in (imported(None), imported(tmp_path), imported(tmp_path / "none")):
        assert isinstance(await source.gather(subject(SERVER)), EvidenceGap)
    fill(tmp_path)
    assert isinstance(await ask(tmp_path, f"oci:localhost/x@sha256:{'a' * 64}"), EvidenceGap)


@pytest.mark.parametrize("bounds", [{"files": 2}, {"bytes": 300}, {"seconds": 0.0}])
async def test_more_than_may_be_read_is_no_clean_bill(tmp_path, bounds):
    fill(tmp_path)
    found = await ask(tmp_path, "pypi:some-server@1.1", **bounds)
    assert isinstance(found, EvidenceGap)
    assert "too many" in found.why


async def test_advisories_are_read_anew_when_they_changed(tmp_path):
    source = imported(tmp_path)
    (tmp_path / "1.json").write_bytes(advisory(1))
    found = await source.gather(subject(SERVER))
    assert await source.gather(subject(SERVER)) is found
    (tmp_path / "2.json").write_bytes(advisory(2))
    assert len((await source.gather(subject(SERVER))).vulnerabilities) == 2
