"""Which packages' scripts ran for a server is said by its image, its definition and the log."""

import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.packages.registry import registry

from gatelodge.adapters.runtime.landlock.calls import landlock_version

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(landlock_version() < 1, reason="this kernel has no Landlock"),
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on this machine"),
]
SERVER = """
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const tool = { name: require("named/made.json").name, inputSchema: { type: "object" } };
  const info = { name: "tiny", version: "1" };
  const known = {
    initialize: () => ({
      protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: info,
    }),
    "tools/list": () => ({ tools: [tool] }),
    ping: () => ({}),
  };
  const told = known[method]
    ? { result: known[method]() }
    : { error: { code: -32601, message: "no" } };
  console.log(JSON.stringify({ jsonrpc: "2.0", id, ...told }));
});
"""
MAKES = """echo '{"name": "made-by-script"}' > made.json"""
SOURCE = "npm:tiny@1.0.0"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    directory = tmp_path_factory.mktemp("scripts") / "data"
    sets = ("hosting.api_sources=npm:*",)
    with registry() as place:
        place.publish("named", {}, postinstall=MAKES)
        place.publish("tiny", {"named": "1.0.0"}, **{"main.js": SERVER})
        with Gate(directory, *sets, npm_config_registry=place.url).running() as made:
            yield made


@pytest.fixture(scope="module")
def image(gate: Gate) -> str:
    """The image of the server `tiny`, for which a script ran."""
    added = gate.cli("server", "add", SOURCE, "--run-scripts", "named")
    assert [each["name"] for each in added["tools"]] == ["made-by-script"]
    return str(gate.cli("server", "show", "tiny")["transport"]["image"])


def test_whose_scripts_ran_is_shown_and_on_record(gate: Gate, image: str):
    assert gate.cli("image", "show", image[7:])["run_scripts"] == ["named"]
    assert gate.cli("server", "show", "tiny")["transport"]["run_scripts"] == ["named"]
    assert "named" in gate.command("image", "show", image[7:]).stdout
    assert "named" in gate.command("server", "show", "tiny").stdout
    found = gate.cli("audit", "changes", "search", "--about", "tiny")["items"]
    told = [each["subject"] for each in found if each["type"] == "server.registered"]
    assert told[-1]["run_scripts"] == ["named"]


def test_without_the_exception_it_is_another_image_and_another_definition(gate: Gate, image: str):
    plain = {"source": SOURCE, "image": image}
    body = {"alias": "lie", "transport": {"type": "artifact", **plain}}
    status, told = gate.ask("POST", "/workspaces/main/servers", body)
    assert (status, "named" in told["detail"]) == (409, True), told


def test_an_upgrade_takes_the_exception_along_and_a_file_says_it(
    gate: Gate, image: str, tmp_path: Path
):
    upgraded = gate.cli("server", "upgrade", "tiny")
    assert (upgraded["image"], upgraded["changes"]) == (image, [])
    file = tmp_path / "main.toml"
    gate.cli("export", str(file))
    (server,) = tomllib.loads(file.read_text())["servers"]
    assert server["run_scripts"] == ["named"]
    assert gate.cli("apply", str(file), "--dry-run")["changes"] == []


def test_only_the_operator_on_the_machine_may_ask_for_it(gate: Gate, image: str):
    asked = {"source": SOURCE, "run_scripts": ["named"]}
    status, told = gate.ask("POST", "/workspaces/main/artifacts", asked)
    assert (status, "own machine" in told["detail"]) == (403, True)
    server = {"type": "artifact", "image": image, **asked}
    body = {"alias": "theirs", "transport": server}
    assert gate.ask("POST", "/workspaces/main/servers", body)[0] == 403


def test_for_packages_of_other_kinds_it_is_refused_with_what_to_do(gate: Gate):
    refused = gate.command("server", "add", "pypi:docopt@0.6.2", "--run-scripts", "docopt")
    assert refused.returncode != 0
    assert "scripts run of packages of npm alone" in refused.stderr
    assert "UV_FIND_LINKS" in refused.stderr
