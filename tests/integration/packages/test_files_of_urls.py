"""Files at URLs: fetched the guarded way, and what their digest says."""

import asyncio
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.gate import Gate
from tests.integration.net.service import OK, redirect, whole
from tests.integration.packages.image_registry import PlayedRegistry
from tests.integration.packages.test_bundles import bundle, manifest
from tests.integration.packages.wheels import SERVER

from gatelodge.adapters.net.fetch import GuardedClient
from gatelodge.adapters.runtime.packages import downloads
from gatelodge.adapters.runtime.packages.downloads import FileDownloads
from gatelodge.adapters.runtime.packages.workshop import BuildLimits
from gatelodge.core.errors import HouseError
from gatelodge.core.hosting.source import read_source

pytestmark = pytest.mark.anyio

CONTENT = bytes(range(256)) * 9000


def named(host: str, octets: bytes = CONTENT, path: str = "a/tiny.mcpb") -> str:
    return f"url:http://{host}/{path}#sha256={hashlib.sha256(octets).hexdigest()}"


class Fetcher:
    """What fetches files below a directory."""

    def __init__(self, directory: Path, *private: str, seconds: float = 20.0) -> None:
        self.directory = directory
        limits = BuildLimits(seconds=seconds, bytes=4 << 20)
        client = GuardedClient(_no_tls, "1.2")
        self.files = FileDownloads(directory, limits, client, frozenset(private))

    async def content(self, source: str) -> bytes:
        async with self.files.fetched(read_source(source), _silent) as path:
            assert path.name == "tiny.mcpb"
            return path.read_bytes()

    async def refusal(self, source: str) -> str:
        """Why it was not taken; nothing of it is left."""
        with pytest.raises(HouseError) as refused:
            await self.content(source)
        assert not self.directory.exists() or list(self.directory.iterdir()) == []
        return f"{refused.value.detail} {refused.value.remedy}"


async def _silent(_: str) -> None:
    """Nobody listens."""


def _no_tls() -> None:
    raise AssertionError("nothing here is asked with TLS")


@pytest.fixture
def fetcher(tmp_path: Path, registry: PlayedRegistry) -> Fetcher:
    return Fetcher(tmp_path / "builds", f"http://{registry.host}")


async def test_a_file_is_what_its_digest_says(registry: PlayedRegistry, fetcher: Fetcher):
    registry.answers["/a/tiny.mcpb"] = whole(CONTENT)
    assert await fetcher.content(named(registry.host)) == CONTENT
    assert list(fetcher.directory.iterdir()) == []
    told = await fetcher.refusal(named(registry.host, b"another"))
    assert hashlib.sha256(CONTENT).hexdigest() in told


async def test_a_redirect_is_followed_to_places_that_are_allowed(
    registry: PlayedRegistry, fetcher: Fetcher
):
    registry.answers["/a/tiny.mcpb"] = redirect("/there")
    registry.answers["/there"] = whole(CONTENT)
    assert await fetcher.content(named(registry.host)) == CONTENT


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("http://169.254.169.254/latest/meta-data/", "never reached (cloud metadata)"),
        ("https://127.0.0.1/", "hosting.private_origins"),
        ("http://127.0.0.1:1/", "hosting.private_origins"),
        ("file:///etc/passwd", "https://"),
    ],
)
async def test_a_redirect_leads_to_no_place_that_nobody_allowed(
    registry: PlayedRegistry, fetcher: Fetcher, to: str, why: str
):
    registry.answers["/a/tiny.mcpb"] = redirect(to)
    assert why in await fetcher.refusal(named(registry.host))


async def test_a_private_address_wants_the_operators_word(registry: PlayedRegistry, tmp_path: Path):
    told = await Fetcher(tmp_path / "builds").refusal(named(registry.host))
    assert "http:// addresses only where that is allowed" in told
    assert "hosting.private_origins" in told
    assert registry.heads == []


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (whole(b"", b"HTTP/1.1 404 Not Found\r\n"), "HTTP 404"),
        (whole(b"", b"HTTP/1.1 401 U\r\nWWW-Authenticate: Basic\r\n"), "HTTP 401"),
        (OK + b"content-length: 99999999999999\r\n\r\n", "larger than"),
        (OK + b"\r\n" + b"x" * (5 << 20), "larger than"),
    ],
)
async def test_what_is_no_file_or_too_large_is_refused(
    registry: PlayedRegistry, fetcher: Fetcher, answer: bytes, why: str
):
    registry.answers["/a/tiny.mcpb"] = answer
    assert why in await fetcher.refusal(named(registry.host))
    assert len(registry.heads) == 1


async def test_a_file_that_comes_too_slowly_is_left(registry: PlayedRegistry, tmp_path: Path):
    async def slow(writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    registry.answers["/a/tiny.mcpb"] = slow
    fetcher = Fetcher(tmp_path / "builds", f"http://{registry.host}", seconds=0.5)
    assert "no whole answer within" in await fetcher.refusal(named(registry.host))


async def test_one_that_was_cut_off_is_fetched_once_more(
    registry: PlayedRegistry, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(downloads, "_PAUSE", 0.01)
    good, seen = whole(CONTENT), []

    async def moody(writer: asyncio.StreamWriter) -> None:
        seen.append(len(seen))
        writer.write(good[:-3] if len(seen) == 1 else good)
        await writer.drain()

    registry.answers["/a/tiny.mcpb"] = moody
    assert await fetcher.content(named(registry.host)) == CONTENT
    assert len(seen) == 2


@contextmanager
def published(files: dict[str, bytes]) -> Iterator[str]:
    """Files by their names, at a host."""

    class FileAnswers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = files.get(self.path[1:])
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Length", str(len(found or b"")))
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_: object) -> None:
            """Nothing is written."""

    with ThreadingHTTPServer(("127.0.0.1", 0), FileAnswers) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def _bundle_of(tmp_path: Path, name: str) -> bytes:
    described = manifest("python", "server.py", "${__dirname}/server.py")
    text = f"{SERVER.read_text()}\n# {name}\n"
    return bundle(tmp_path / name, described, **{"server.py": text}).read_bytes()


def _image_of(layout: Path) -> bytes:
    """A layout of an image as one file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("index.json", "oci-layout", "blobs"):
            archive.add(layout / name, name)
    return packed.getvalue()


@pytest.mark.slow
def test_a_server_comes_from_a_url_is_upgraded_and_goes_back_without_it(tmp_path: Path):
    old, new = _bundle_of(tmp_path, "tiny-1.mcpb"), _bundle_of(tmp_path, "tiny-2.mcpb")
    files = {"tiny-1.mcpb": old, "tiny-2.mcpb": new}
    with ExitStack() as place:
        host = place.enter_context(published(files))
        first, second = named(host, old, "tiny-1.mcpb"), named(host, new, "tiny-2.mcpb")
        private = f"hosting.private_origins=http://{host}"
        with Gate(tmp_path / "data", private).running() as gate:
            added = gate.cli("server", "add", first)
            assert [each["name"] for each in added["tools"]] == ["echo", "count"]
            shown = gate.cli("server", "show", "tiny")
            image = shown["transport"]["image"]
            assert shown["target"] == first
            assert gate.cli("image", "show", image[7:19])["source"] == first
            bill = gate.command("image", "show", image[7:], "--sbom").stdout
            assert hashlib.sha256(old).hexdigest() in bill
            files["whole.tar"] = _image_of(tmp_path / "data" / "images")
            assert gate.command("server", "upgrade", "tiny", "@2").returncode != 0
            gate.cli("server", "upgrade", "tiny", second)
            assert gate.cli("server", "show", "tiny")["transport"]["image"] != image
            with Gate(tmp_path / "other", private).running() as other:
                other.cli("server", "add", "same", named(host, files["whole.tar"], "whole.tar"))
                assert other.cli("server", "show", "same")["transport"]["image"] == image
            place.close()
            gate.cli("server", "rollback", "tiny", image[7:19])
            assert gate.cli("server", "show", "tiny")["transport"]["image"] == image
            gate.cli("server", "add", "again", first)
            assert gate.cli("server", "show", "again")["transport"]["image"] == image
            gone = gate.command("server", "add", "gone", second, "--rebuild")
            assert "could not be fetched" in gone.stderr, gone.stderr
