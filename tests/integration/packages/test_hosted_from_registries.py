"""A server from a registry of images: pulled once, approved by its digest, served without it."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.packages.image_registry import USER, WORD, RealRegistry, real_registry
from tests.integration.packages.test_bundles import bundle, manifest
from tests.integration.packages.wheels import SERVER

pytestmark = pytest.mark.slow


def push_server(tmp_path: Path, real: RealRegistry, *tags: str) -> list[str]:
    """Push a server under each tag, each another image; their digests."""
    images = []
    with Gate(tmp_path / "builder").running() as gate:
        for tag in tags:
            described = manifest("python", "server.py", "${__dirname}/server.py")
            text = f"{SERVER.read_text()}\n# {tag}\n"
            path = bundle(tmp_path / f"s-{tag}.mcpb", described, **{"server.py": text})
            gate.cli("server", "add", f"s-{tag}", f"mcpb:{path}")
            images.append(gate.cli("server", "show", f"s-{tag}")["transport"]["image"])
            layout = tmp_path / "builder" / "images"
            real.push_layout("acme/tiny-mcp", tag, layout, images[-1])
    return images


def test_a_server_comes_from_a_registry_is_upgraded_and_goes_back_without_it(tmp_path: Path):
    with ExitStack() as place:
        real = place.enter_context(real_registry(tmp_path / "registry", login=True))
        first, second = push_server(tmp_path, real, "v1", "v2")
        source = f"oci:{real.host}/acme/tiny-mcp"
        sets = (
            f"hosting.private_origins=http://{real.host}",
            f"hosting.registry_logins={real.host}={USER}=env:REGISTRY_WORD",
            f"hosting.api_sources={source}[:@]*",
        )
        with Gate(tmp_path / "data", *sets, REGISTRY_WORD=WORD).running() as gate:
            added = gate.cli("server", "add", f"{source}:v1")
            assert [each["name"] for each in added["tools"]] == ["echo", "count"]
            shown = gate.cli("server", "show", "tiny")
            assert shown["transport"]["image"] == first
            assert shown["target"] == f"{source}@{first}"
            gate.cli("server", "approve", "tiny", "--yes")
            token = gate.member("kay@example.test", "tiny")
            assert gate.client(token).call("tiny__echo", {"text": "hello"}).status == 200
            # The tag is another image by now, and nothing follows it.
            real.push_layout("acme/tiny-mcp", "v1", tmp_path / "builder" / "images", second)
            gate.cli("server", "upgrade", "tiny", "@v2")
            assert gate.cli("server", "show", "tiny")["transport"]["image"] == second
            asked = {"source": f"{source}:v1"}
            assert gate.ask("POST", "/workspaces/main/artifacts", asked)[0] == 202
            refused = {"source": f"oci:{real.host}/other/tiny-mcp:v1"}
            assert gate.ask("POST", "/workspaces/main/artifacts", refused)[0] == 403
            place.close()
            gate.cli("server", "rollback", "tiny")
            assert gate.cli("server", "show", "tiny")["transport"]["image"] == first
            for alias, named in (("tag", f"{source}:v1"), ("digest", f"{source}@{first}")):
                gate.cli("server", "add", alias, named)
                assert gate.cli("server", "show", alias)["transport"]["image"] == first
            gone = gate.command("server", "add", "new", f"{source}:v3")
            assert "could not be fetched" in gone.stderr, gone.stderr
            image = gate.cli("image", "show", first[7:19])
            assert (image["source"], image["materials"]) == (f"{source}@{first}", [])
            assert WORD not in gate.stderr
