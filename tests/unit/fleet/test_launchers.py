"""What a client's command really starts, by its words alone."""

import pytest

from gatelodge.core.fleet.launcher import read_launcher


@pytest.mark.parametrize(
    ("words", "kind", "name", "version", "args"),
    [
        ("npx -y @a/b@1.2.3 --root x", "npm", "@a/b", "1.2.3", ("--root", "x")),
        ("npx --package=git@1.2.3 gitd -v", "npm", "git", "1.2.3", ("-v",)),
        ("bunx server@2.0.0", "npm", "server", "2.0.0", ()),
        ("pnpm dlx server@2.0.0 x", "npm", "server", "2.0.0", ("x",)),
        ("uvx mcp-server-git==2.1", "pypi", "mcp-server-git", "2.1", ()),
        ("uvx --from git==2.1 gitd", "pypi", "git", "2.1", ()),
        ("uv tool run git@2.1 a", "pypi", "git", "2.1", ("a",)),
        ("pipx run --spec git==2.1 gitd", "pypi", "git", "2.1", ()),
        ("docker run -i --rm -e A mcp/git:1.0 a", "oci", "docker.io/mcp/git", "1.0", ("a",)),
        ("podman run ghcr.io/a/b", "oci", "ghcr.io/a/b", "", ()),
        ("docker run --name=x time", "oci", "docker.io/library/time", "", ()),
        ("deno run -A npm:@a/b@1.2.3 x", "npm", "@a/b", "1.2.3", ("x",)),
        ("cmd /c npx -y b@1.2.3", "npm", "b", "1.2.3", ()),
        (r"C:\x\cmd.exe /C npx.cmd b@1.2.3", "npm", "b", "1.2.3", ()),
        ("env A=b npx b@1.2.3", "npm", "b", "1.2.3", ()),
        ("node /home/a/x.js", "program", "", "", ("node", "/home/a/x.js")),
        ("python -m server", "program", "", "", ("python", "-m", "server")),
    ],
)
def test_a_launcher_names_its_package(words, kind, name, version, args):
    found = read_launcher(words.split())
    assert (found.kind, found.name, found.version, found.args) == (kind, name, version, args)


@pytest.mark.parametrize(
    "words",
    [
        ["bash", "-c", "exec npx -y b@1.2.3 'x y'"],
        ["sh", "-lc", 'A=b npx -y b@1.2.3 "x y"'],
        ["cmd", "/c", "npx -y b@1.2.3 'x y'"],
        ["bash", "-c", "cmd /c npx b@1.2.3 'x y'"],
    ],
)
def test_shells_around_one_plain_command_are_taken_away(words):
    found = read_launcher(words)
    assert (found.source, found.args) == ("npm:b@1.2.3", ("x y",))


@pytest.mark.parametrize("line", ["cd /x && npx b@1.2.3", "npx b@1.2.3 | tee x", "npx $(cat x)"])
def test_more_than_one_plain_command_is_a_program_of_its_own(line):
    assert read_launcher(["bash", "-c", line]).kind == "program"


def test_a_bridge_is_the_server_to_which_it_leads():
    words = ["npx", "-y", "mcp-remote@0.1.2", "https://x.example/mcp", "--header", "A: Bearer ${T}"]
    found = read_launcher(words)
    assert (found.kind, found.url) == ("remote", "https://x.example/mcp")
    assert found.headers == (("A", "Bearer ${T}"),)


def test_variables_of_an_image_are_variables():
    found = read_launcher(["docker", "run", "-e", "A=b", "-e", "C", "-eD=e", "--env=F=g", "x/y:1"])
    assert dict(found.env) == {"A": "b", "C": "${C}", "D": "e", "F": "g"}


@pytest.mark.parametrize(
    ("words", "exact"),
    [
        ("npx b@1.2.3", True),
        ("npx b@latest", False),
        ("npx b@^1.2.3", False),
        ("npx b", False),
        ("uvx b==1.*", False),
        ("docker run a/b:latest", False),
        ("docker run a/b@sha256:" + "0" * 64, True),
    ],
)
def test_only_one_version_is_exact(words, exact):
    found = read_launcher(words.split())
    assert (found.exact, bool(found.source)) == (exact, exact)
