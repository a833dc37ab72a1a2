"""What a server.json declares is judged by its own schema; what looks secret has to be one."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core.hosting.source import read_source
from gatelodge.core.trust.sources.manifest import names_package, read_manifest

SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
STDIO = {"type": "stdio"}
PACKAGE = {"registryType": "pypi", "identifier": "a", "version": "1.0", "transport": STDIO}
GOOD = {"$schema": SCHEMA, "name": "a.b/c", "description": "d", "version": "1"}


def read(package=None, **more):
    packages = [{**PACKAGE, **(package or {})}]
    return read_manifest(json.dumps({**GOOD, "packages": packages, **more}).encode())


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"name": "no-slash"}, "name"),
        ({"name": "a/b/c"}, "name"),
        ({"description": ""}, "description"),
        ({"description": "x" * 101}, "description"),
        ({"version": "latest"}, "range"),
        ({"version": "^1.2.3"}, "range"),
        ({"packages": [{**PACKAGE, "version": "1.x"}]}, "range"),
        ({"packages": [{"registryType": "npm"}]}, "identifier"),
        ({"packages": {}}, "array"),
        ({"packages": [{**PACKAGE, "registryType": "mcpb"}]}, "fileSha256"),
        ({"packages": [{**PACKAGE, "transport": {"type": "sse"}}]}, "no URL"),
        ({"remotes": [STDIO]}, "stdio"),
        ({"packages": [{**PACKAGE, "packageArguments": [{"type": "positional"}]}]}, "valueHint"),
        ({"remotes": [{"type": "sse", "url": "ftp://x"}]}, "url"),
        ({}, ""),
        ({"remotes": [{"type": "sse", "url": "https://{host}/mcp"}], "title": "T"}, ""),
    ],
)
def test_what_the_schema_does_not_allow_is_named(more, word):
    found = read(**more)
    assert found.valid == (not word)
    assert word in found.fault


SECRET = {"name": "API_KEY", "description": "a key", "isSecret": True, "isRequired": True}


@pytest.mark.parametrize(
    ("one", "group", "word"),
    [
        (SECRET, "environmentVariables", ""),
        ({**SECRET, "isSecret": False}, "environmentVariables", "not declared"),
        ({**SECRET, "default": "x"}, "environmentVariables", "everybody"),
        ({**SECRET, "value": "x"}, "environmentVariables", "everybody"),
        ({**SECRET, "type": "named", "name": "--key"}, "packageArguments", "arguments"),
        ({"name": "MAX_TOKENS"}, "environmentVariables", ""),
        ({"name": "TOKEN_URL"}, "environmentVariables", ""),
        ({"name": "github_token"}, "environmentVariables", "not declared"),
        ({"name": 5, "isSecret": "yes"}, "environmentVariables", ""),
    ],
)
def test_a_secret_is_declared_has_no_value_and_stands_in_no_argument(one, group, word):
    found = read({group: [one]})
    assert word in "".join(found.exposed_secrets) if word else not found.exposed_secrets


def test_inputs_are_counted_where_somebody_fills_them():
    variable = {"name": "A", "value": "{x}-{y}", "variables": {"x": {"description": "d"}, "y": {}}}
    fixed, asked = {"name": "B", "value": "always"}, {"name": "C", "description": "  "}
    header = {"name": "Authorization", "description": "d", "isSecret": True}
    remote = {"type": "sse", "url": "https://a.b/{z}", "headers": [header]}
    remote |= {"variables": {"z": {"description": "d"}}}
    found = read({"environmentVariables": [variable, fixed, asked, 7]}, remotes=[remote])
    assert (found.inputs, found.described) == (5, 3)


@pytest.mark.parametrize(
    ("source", "kind", "identifier", "version", "says"),
    [
        ("pypi:a.b@1.0", "pypi", "A_b", "1.0", "version"),
        ("pypi:a-b@1.1", "pypi", "a-b", "1.0", "package"),
        ("npm:a-b@1.0.0", "pypi", "a-b", "1.0.0", "no"),
        ("oci:docker.io/a/b:1.0", "oci", "docker.io/a/b:1.0", "", "version"),
        ("oci:ghcr.io/a/b:1.1", "oci", "ghcr.io/a/b:1.0", "", "package"),
        ("npm:a@1.0.0", "npm", "", "", ""),
    ],
)
def test_a_record_names_a_package_or_does_not(source, kind, identifier, version, says):
    package = {"registryType": kind, "identifier": identifier, "version": version}
    assert names_package({"packages": [package]}, read_source(source)) == says


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
FIELDS = st.sampled_from(["name", "packages", "remotes", "version", "description", "repository"])


@given(st.dictionaries(FIELDS, JSON))
def test_no_document_breaks_it(fields):
    found = read_manifest(json.dumps({"$schema": SCHEMA, **fields}).encode())
    assert found is not None
    names_package(fields, read_source("npm:a@1.0.0"))
