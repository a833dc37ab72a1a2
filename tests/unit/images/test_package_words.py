"""A package on the command line: which words are its alias, its source, its arguments."""

from pathlib import Path

import pytest

from gatelodge.adapters.runtime.packages.tools import ToolOutcome
from gatelodge.cli.rules.hosting import package_words
from gatelodge.core.errors import Invalid
from gatelodge.core.hosting.naming import alias_of_source
from gatelodge.core.hosting.source import read_source


@pytest.mark.parametrize(
    ("source", "alias"),
    [
        ("pypi:mcp-server-time@2026.10.19", "time"),
        ("pypi:Mcp_Server_Git@1", "git"),
        ("pypi:weather-mcp@1", "weather"),
        ("pypi:mcp-server@1", "server"),
        ("npm:@modelcontextprotocol/server-everything@1.0.0", "everything"),
        ("npm:@acme/mcp@1.0.0", "mcp"),
        ("mcpb:/tmp/files-1.2.0.mcpb", "files"),
        ("oci:/srv/images/tools.tar", "tools"),
        ("oci:registry.test/acme/tools-mcp:v1", "tools"),
        ("oci:registry.test:5000/acme/mcp-tools@sha256:" + "a" * 64, "tools"),
        ("oci:localhost/tools:v1@sha256:" + "a" * 64, "tools"),
        ("url:https://files.test/a/files-1.2.0.mcpb#sha256=" + "a" * 64, "files"),
        ("url:https://files.test/tools.tar#sha256=" + "a" * 64, "tools"),
    ],
)
def test_an_alias_reminds_of_its_package(source: str, alias: str):
    assert alias_of_source(source) == alias


def test_the_alias_may_be_left_out_and_the_rest_are_arguments():
    source = "pypi:mcp-server-time@1"
    assert package_words(source, ("--local", "x")) == ("time", source, ("--local", "x"))
    assert package_words("clock", (source, "x")) == ("clock", source, ("x",))
    assert package_words("clock", ("npx", "thing")) is None


def test_a_file_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.mcpb").touch()
    monkeypatch.chdir(tmp_path)
    assert package_words("mcpb:a.mcpb", ()) == ("a", f"mcpb:{tmp_path}/a.mcpb", ())


@pytest.mark.parametrize(
    "source",
    [
        "pypi:mcp-server-time",
        "npm:@acme/tools",
        "pypi:@1",
        "oci:registry.test/acme/tools",
        "oci:registry.test:5000/acme/tools",
        "oci:registry.test/acme/tools@sha256:aa",
        "oci:registry.test/acme/tools@sha512:" + "a" * 64,
    ],
)
def test_a_package_without_an_exact_version_is_refused(source: str):
    with pytest.raises(Invalid):
        package_words(source, ())


@pytest.mark.parametrize(
    ("source", "name", "version"),
    [
        ("oci:r.test/a:v1", "r.test/a", "v1"),
        ("oci:r.test:5000/a/b-c__d:v1", "r.test:5000/a/b-c__d", "v1"),
        ("oci:r.test/a@sha256:" + "a" * 64, "r.test/a", "sha256:" + "a" * 64),
        ("oci:r.test/a:v1@sha256:" + "a" * 64, "r.test/a", "sha256:" + "a" * 64),
    ],
)
def test_an_image_of_a_registry_is_named_by_a_tag_or_by_a_digest_that_says_it(
    source: str, name: str, version: str
):
    found = read_source(source)
    assert (found.kind, found.name, found.version, found.file) == ("oci", name, version, False)
    assert read_source(found.text) == found


@pytest.mark.parametrize(
    "source",
    ["oci:/srv/r.test/a:v1", "oci:images/tools.tar", "oci:tools.tar", "oci:Upper.test/A:v1",
     "oci:r.test//a:v1", "oci:r.test/../a:v1", "oci:user:word/a:v1"],
)  # fmt: skip
def test_what_is_no_image_of_a_registry_is_taken_for_a_file(source: str):
    assert read_source(source).file


def test_a_file_at_a_url_is_named_with_what_is_there():
    text = "url:https://files.test:8443/a/@scope/files-1.2.0.mcpb#sha256=" + "a" * 64
    found = read_source(text)
    assert (found.name, found.version) == (text[4:-72], "sha256:" + "a" * 64)
    assert (found.text, found.file, found.pinned) == (text, False, True)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("url:https://files.test/s3cret.mcpb", "Add #sha256=HEX"),
        ("url:https://files.test/s3cret.mcpb#sha256=ab", "no login and no query"),
        ("url:https://me:s3cret@files.test/a.mcpb#sha256={}", "no login and no query"),
        ("url:https://s3cret@files.test/a.mcpb#sha256={}", "no login and no query"),
        ("url:https://files.test/a.mcpb?key=s3cret#sha256={}", "no login and no query"),
        ("url:https://files.test/s3cret.zip#sha256={}", "NAME.mcpb"),
        ("url:https://files.test/s3cret/.mcpb#sha256={}", "NAME.mcpb"),
        ("url:ftp://files.test/s3cret.mcpb#sha256={}", "https://"),
    ],
)
def test_a_url_that_holds_a_secret_or_says_not_what_is_there_is_refused_unseen(
    source: str, why: str
):
    with pytest.raises(Invalid) as refused:
        read_source(source.format("a" * 64))
    assert why in refused.value.remedy
    assert "s3cret" not in refused.value.detail + refused.value.remedy


@pytest.mark.parametrize("bears", ["user:secret", "secret", "user:a@secret", "a%40:secret"])
def test_what_a_tool_complains_of_names_nothing_that_opens_an_address(bears: str):
    said = f"error: no answer from https://{bears}@packages.example.test/simple/ at all"
    words = ToolOutcome(status=1, output=b"", errors=said.encode()).last_words
    assert words == "error: no answer from https://***@packages.example.test/simple/ at all"
