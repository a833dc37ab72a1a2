"""What a history says of people, tags and manifests, and where an address leads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatelodge.core.hosting.source import read_source
from gatelodge.core.trust.sources.repository import (
    AuthoredCommit,
    count_commits,
    is_policy,
    names_itself,
    release_tag,
    repository_place,
)

DAY = 86_400
UNTIL = 1_795_000_000


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://Code.example/Acme/Server", "code.example/Acme/Server"),
        ("git+https://code.example/acme/server.git#main", "code.example/acme/server"),
        ("git@code.example:acme/server.git", "code.example/acme/server"),
        ("ssh://git@code.example:22/acme/server.git", "code.example/acme/server"),
        ("https://ada:word@code.example/acme/server/tree/main/src/x", "code.example/acme/server"),
        ("https://code.example/../etc", None),
        ("https://code.example/acme/..", None),
        ("https://code.example/acme/.git", None),
        ("file:///etc/passwd/x", None),
        ("/etc/passwd", None),
        ("--upload-pack=x", None),
        ("", None),
    ],
)
def test_an_address_names_one_repository_or_none(url, place):
    found = repository_place(url)
    assert (found and f"{found.host}/{found.owner}/{found.name}") == place
    assert not found or "word" not in found.url


@given(st.text(max_size=60))
def test_no_address_leads_out_of_a_directory(text):
    for found in map(repository_place, (text, f"https://a.b/{text}", f"https://a.b/c/{text}")):
        parts = (found.host, found.owner, found.name) if found else ()
        assert not any(each.startswith((".", "-")) or "/" in each for each in parts)


def commit(days, email="ada@x.y", name="Ada"):
    return AuthoredCommit(UNTIL - days * DAY, email, name)


def test_people_are_counted_by_their_address_and_bots_are_none():
    commits = [commit(1), commit(40, "ADA@x.y", "A. L."), commit(100, "bob@x.y"), commit(400)]
    commits += [commit(2, "1+dependabot[bot]@x.y", "dependabot[bot]"), commit(3, name="CI bot")]
    commits += [commit(-5), commit(4, "abbott@x.y", "Abbott")]
    found = count_commits(commits, UNTIL)
    assert (found.days_30, found.days_90, found.days_365) == (2, 3, 4)
    assert found.half_of_year == 1
    assert count_commits([], UNTIL).half_of_year == 0


@given(st.lists(st.integers(0, 5), max_size=40))
def test_the_fewest_who_made_half_are_counted(authors):
    found = count_commits([commit(1, f"{each}@x.y") for each in authors], UNTIL)
    shares = sorted((authors.count(each) for each in set(authors)), reverse=True)
    assert 2 * sum(shares[: found.half_of_year]) >= len(authors)
    assert not authors or 2 * sum(shares[: found.half_of_year - 1]) < len(authors)


@pytest.mark.parametrize(
    ("tags", "source", "tag"),
    [
        (["v1.0.0", "1.0.0"], "npm:@a/b@1.0.0", "v1.0.0"),
        (["v1.0.0", "@a/b@1.0.0"], "npm:@a/b@1.0.0", "@a/b@1.0.0"),
        (["b-v1.0.0", "v1.0.0"], "npm:@a/b@1.0.0", "b-v1.0.0"),
        (["a_b/v1.0", "c-v1.0"], "pypi:A-b@1.0", "a_b/v1.0"),
        (["c-v1.0", "v1.0.1"], "pypi:a-b@1.0", ""),
    ],
)
def test_the_tag_of_a_version_is_that_of_its_package_first(tags, source, tag):
    assert release_tag(tags, read_source(source)) == tag


@pytest.mark.parametrize(
    ("path", "text", "names"),
    [
        ("a/pyproject.toml", '[project]\nname = "Some_Server"\n', True),
        ("pyproject.toml", '[tool.poetry]\nname = "some.server"\n', True),
        ("pyproject.toml", '[project]\nname = "x"\ndependencies = ["some-server"]\n', False),
        ("pyproject.toml", 'project = "some-server"\ntool = 5\n', False),
        ("pyproject.toml", "[project\n", False),
        ("setup.cfg", "[metadata]\nname = some-server\n", True),
        ("setup.cfg", "name = some-server\n", False),
        ("setup.py", "setup(\n    name='some-server',\n)", True),
        ("setup.py", "setup(name=NAME)", False),
    ],
)
def test_a_manifest_names_its_own_package_or_another(path, text, names):
    assert names_itself(path, text, read_source("pypi:some-server@1.0")) is names


def test_a_manifest_of_node_names_its_own_package():
    source = read_source("npm:@a/b@1.0.0")
    assert names_itself("package.json", '{"name": "@a/b"}', source)
    for text in ('{"name": "@a/B"}', '{"dependencies": {"@a/b": "1"}}', "[", '{"name": 5}'):
        assert not names_itself("package.json", text, source)


def test_a_policy_is_that_of_all_or_of_the_folder():
    assert is_policy("SECURITY.md", "src/x")
    assert is_policy(".github/security.rst", "")
    assert is_policy("src/x/SECURITY.md", "src/x")
    assert not is_policy("src/y/SECURITY.md", "src/x")
    assert not is_policy("src/security.py", "")
