"""A pattern of sources allows what it says and nothing beside it."""

import pytest

from gatelodge.core.catalog.bounds import DefinitionBounds

BOUNDS = DefinitionBounds(
    sources=(
        "mcpb:/srv/bundles/*", "oci:/srv/images/*", "pypi:acme-*@*", "oci:registry.test/acme/*",
        "url:https://files.test/acme/*",
    )
)  # fmt: skip


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("mcpb:/srv/bundles/a.mcpb", True),
        ("mcpb:/srv/bundles/team/a..b.mcpb", True),
        ("pypi:acme-a@1", True),
        ("url:https://files.test/acme/a.mcpb#sha256=" + "a" * 64, True),
        ("url:https://files.test/other/a.mcpb#sha256=" + "a" * 64, False),
        ("url:https://files.test/acme/../other/a.mcpb#sha256=" + "a" * 64, False),
        ("oci:registry.test/acme/tools:v1", True),
        ("oci:registry.test/acme/tools@sha256:" + "a" * 64, True),
        ("oci:registry.test/other/tools:v1", False),
        ("oci:registry.test.other/acme/tools:v1", False),
        ("oci:registry.test/acme/../other/tools:v1", False),
        ("mcpb:/srv/bundles/../private.mcpb", False),
        ("oci:/srv/images/../../etc", False),
        ("oci:/srv/images/..", False),
        ("pypi:other@1", False),
    ],
)
def test_a_pattern_of_a_folder_leads_to_nothing_beside_it(source: str, allowed: bool):
    assert BOUNDS.allows_source(source) is allowed
