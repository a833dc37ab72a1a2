"""A server from a package: built once, approved by its digest, upgraded and rolled back."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.packages.wheels import NEEDS, publish, publish_sources

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("wheels") / "place"
    publish(made, NEEDS, "1.0")
    publish(made, NEEDS, "2.0")
    publish(made, "mcp-server-tiny", "1.0", f"{NEEDS}==1.0")
    publish(made, "mcp-server-tiny", "1.1", f"{NEEDS}==2.0")
    return made


@pytest.fixture(scope="module")
def gate(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    directory = tmp_path_factory.mktemp("packages") / "data"
    sets = ("hosting.api_sources=pypi:acme-*@*",)
    with Gate(directory, *sets, UV_FIND_LINKS=str(place), UV_OFFLINE="1").running() as made:
        yield made


@pytest.fixture(scope="module")
def tiny(gate: Gate) -> str:
    """The image of the server `tiny`, which was added as a person adds it."""
    added = gate.cli("server", "add", "pypi:mcp-server-tiny@1.0")
    assert [each["name"] for each in added["tools"]] == ["echo", "count"]
    shown = gate.cli("server", "show", "tiny")
    assert (shown["status"], shown["kind"]) == ("proposed", "artifact")
    image = shown["transport"]["image"]
    assert image.startswith("sha256:")
    return str(image)


def test_a_package_becomes_a_server_whose_image_says_what_is_in_it(gate: Gate, tiny: str):
    image = gate.cli("image", "show", tiny[7:19])
    assert (image["source"], image["used_by"]) == ("pypi:mcp-server-tiny@1.0", ["tiny"])
    packages = {each["name"]: each["version"] for each in image["materials"] if each["purl"]}
    assert packages == {"mcp-server-tiny": "1.0", NEEDS: "1.0"}
    bill = json.loads(gate.command("image", "show", tiny[7:], "--sbom").stdout)
    assert bill["specVersion"] == "1.6"
    assert "lock-version" in gate.command("image", "show", tiny[7:], "--lock").stdout


def test_nothing_of_it_can_be_called_before_it_is_approved(gate: Gate, tiny: str):
    token = gate.member("kay@example.test", "tiny")
    assert gate.client(token).tools() == []


def test_what_was_built_before_is_found_without_asking_anybody(gate: Gate, tiny: str, place: Path):
    away = place.rename(place.with_name("away"))
    try:
        gate.cli("server", "add", "again", "pypi:mcp-server-tiny@1.0")
    finally:
        away.rename(place)
    assert gate.cli("server", "show", "again")["transport"]["image"] == tiny
    gate.cli("server", "remove", "again", "--yes")


def test_an_upgrade_shows_what_differs_and_a_rollback_takes_it_back(gate: Gate, tiny: str):
    rehearsed = gate.cli("server", "upgrade", "tiny", "@1.1", "--dry-run")
    changes = {(e["name"], e["before"], e["after"]) for e in rehearsed["changes"]}
    assert changes == {("mcp-server-tiny", "1.0", "1.1"), (NEEDS, "1.0", "2.0")}
    assert gate.cli("server", "show", "tiny")["transport"]["image"] == tiny
    gate.cli("server", "upgrade", "tiny", "@1.1")
    after = gate.cli("server", "show", "tiny")
    assert (after["status"], after["target"]) == ("proposed", "pypi:mcp-server-tiny@1.1")
    gate.cli("server", "rollback", "tiny")
    assert gate.cli("server", "show", "tiny")["transport"]["image"] == tiny
    assert gate.command("server", "rollback", "tiny").returncode != 0


def test_an_image_that_a_server_has_is_not_removed(gate: Gate, tiny: str):
    gate.cli("server", "upgrade", "tiny", "@1.1", "--dry-run")
    refused = gate.command("image", "remove", tiny[7:], "--yes")
    assert "used by tiny" in refused.stderr
    other = next(e["image"] for e in gate.cli("image", "list") if e["image"] != tiny)
    assert gate.cli("image", "remove", other[7:], "--yes")["freed"] > 0
    assert [each["image"] for each in gate.cli("image", "list")] == [tiny]


def test_no_code_of_a_package_runs_while_it_is_built(gate: Gate, place: Path, tmp_path: Path):
    marker = tmp_path / "ran"
    mark = f"import pathlib; pathlib.Path({str(marker)!r}).write_text('x')\n"
    publish(place, "mcp-server-evil", "1.0", **{"evil.pth": mark, "sitecustomize.py": mark})
    job = gate.api(
        "POST",
        "/workspaces/main/artifacts",
        {"source": "pypi:mcp-server-evil@1.0"},
        local=True,
    )
    assert ended(gate, job["id"])["result"]["packages"] == 1
    publish_sources(place, "mcp-server-source", "1.0", marker)
    refused = gate.command("server", "add", "pypi:mcp-server-source@1.0")
    assert "no wheel" in refused.stderr, refused.stderr
    assert not marker.exists()


def test_what_is_not_there_is_said_so(gate: Gate, tiny: str):
    refused = gate.command("server", "add", "pypi:mcp-server-nowhere@1.0")
    assert "there is no mcp-server-nowhere==1.0" in refused.stderr
    assert refused.returncode != 0
    assert gate.command("server", "add", "pypi:mcp-server-tiny").returncode != 0
    taken = gate.command("server", "add", "pypi:mcp-server-tiny@1.0")
    assert "there is a server 'tiny' already" in taken.stderr


def test_over_the_network_only_allowed_packages_are_built_and_hosted(gate: Gate, tiny: str):
    asked = {"source": "pypi:mcp-server-tiny@1.0"}
    status, told = gate.ask("POST", "/workspaces/main/artifacts", asked)
    assert (status, "hosting.api_sources" in told["remedy"]) == (403, True)
    server = {"type": "artifact", "source": asked["source"], "image": tiny}
    body = {"alias": "theirs", "transport": server}
    assert gate.ask("POST", "/workspaces/main/servers", body)[0] == 403
    lie = {**server, "source": "pypi:acme-tiny@1.0"}
    body = {"alias": "theirs", "transport": lie}
    assert gate.ask("POST", "/workspaces/main/servers", body)[0] == 409


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on this machine")
def test_servers_of_the_package_registries_are_built_and_answer(tmp_path: Path):
    with Gate(tmp_path / "data").running() as gate:
        time = gate.cli("server", "add", "pypi:mcp-server-time@2026.10.19")
        assert "get_current_time" in {each["name"] for each in time["tools"]}
        source = "npm:@modelcontextprotocol/server-everything@2026.8.31"
        everything = gate.cli("server", "add", source)
        assert "echo" in {each["name"] for each in everything["tools"]}


def ended(gate: Gate, job: str) -> dict:
    """The job, once it has ended; it ends by itself."""
    while True:
        found = gate.api("GET", f"/jobs/{job}", local=True)
        if found["ended_at"]:
            return found


def test_a_file_that_names_an_image_which_is_not_here_says_how_it_comes(
    gate: Gate, tiny: str, place: Path, tmp_path: Path
):
    file = tmp_path / "main.toml"
    gate.cli("export", str(file))
    sets = {"UV_FIND_LINKS": str(place), "UV_OFFLINE": "1"}
    with Gate(tmp_path / "other", **sets).running() as other:
        applied = other.command("apply", str(file))
        assert applied.returncode == 0, applied.stderr
        assert "not here" in applied.stdout
        assert "gatelodge server upgrade tiny" in applied.stdout
        failed = other.command("server", "observe", "tiny")
        assert failed.returncode == 4
        assert "server upgrade tiny" in failed.stderr
        moved = other.command("server", "upgrade", "tiny")
        assert moved.returncode == 0, moved.stderr
        seen = other.cli("server", "observe", "tiny")
        assert [each["name"] for each in seen["tools"]] == ["echo", "count"]
        assert other.cli("apply", str(file), "--dry-run")["lacks"] == []


def test_apply_builds_a_package_that_has_no_image_once(gate: Gate, tiny: str, tmp_path: Path):
    file = tmp_path / "proposal.toml"
    table = 'alias = "fresh"\nsource = "pypi:mcp-server-tiny@1.1"\n'
    file.write_text(f'workspace = "main"\n[[servers]]\n{table}')
    before = gate.cli("image", "list")
    tried = gate.command("apply", str(file), "--dry-run")
    assert tried.returncode == 0, tried.stderr
    assert "+ server fresh" in tried.stdout
    assert gate.cli("image", "list") == before
    applied = gate.command("apply", str(file))
    assert applied.returncode == 0, applied.stderr
    shown = gate.cli("server", "show", "fresh")
    assert (shown["status"], shown["kind"]) == ("proposed", "artifact")
    assert shown["transport"]["image"] not in ("", tiny)
    assert "Nothing differs." in gate.command("apply", str(file)).stdout


def test_a_table_of_a_file_that_is_no_server_is_refused_and_nothing_is_built(
    gate: Gate, tmp_path: Path
):
    file = tmp_path / "odd.toml"
    file.write_text('workspace = "main"\n[[servers]]\nalias = []\nsource = "pypi:x@1"\n')
    refused = gate.command("apply", str(file), "--dry-run")
    assert refused.returncode not in (0, 70), refused.stderr
    assert "alias" in refused.stderr
