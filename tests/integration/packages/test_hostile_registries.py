"""Registries that mean harm: they lead nowhere, and nothing of theirs is kept or waited for."""

import asyncio
import json
from pathlib import Path

import pytest
from tests.integration.net.service import OK, redirect, whole
from tests.integration.packages.image_registry import (
    PARTS,
    ImageParts,
    PlayedRegistry,
    Puller,
    bearer,
    digest_of,
    pull,
    refusal,
)

from gatelodge.adapters.images import manifest as form
from gatelodge.core.errors import Invalid, LimitReached, UpstreamUnreachable

pytestmark = pytest.mark.anyio

RANDOM = ImageParts(bytes(range(256)) * 200)


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("http://169.254.169.254/latest/meta-data/", "never reached (cloud metadata)"),
        ("http://127.0.0.1:1/", "http:// addresses only where that is allowed"),
        ("https://127.0.0.1/", "not a public one (loopback)"),
        ("https://10.1.2.3/", "not a public one (private)"),
        ("file:///etc/passwd", "https://"),
    ],
)
@pytest.mark.parametrize("how", ["blob", "manifest", "token"])
async def test_no_answer_of_a_registry_leads_to_places_that_nobody_allowed(
    registry: PlayedRegistry, puller: Puller, to: str, why: str, how: str
):
    source = registry.serves(PARTS)
    if how == "token":
        registry.answers["/v2/"] = whole(b"", bearer(to))
    elif how == "manifest":
        registry.answers["/v2/acme/tools/manifests/v1"] = redirect(to, 307)
    else:
        registry.answers[f"/v2/acme/tools/blobs/{digest_of(PARTS.layers[0])}"] = redirect(to, 307)
    assert why in await refusal(puller, f"{source}:v1", UpstreamUnreachable)


async def test_a_registry_at_a_private_address_wants_the_operators_word(
    registry: PlayedRegistry, tmp_path: Path
):
    source = registry.serves(PARTS)
    told = await refusal(Puller(tmp_path / "gate"), f"{source}:v1", UpstreamUnreachable)
    assert "not a public one (loopback)" in told
    assert "hosting.private_origins" in told
    assert registry.heads == []


def _deep(parts: ImageParts, depth: int) -> list[bytes]:
    """Indexes in indexes, the outermost last."""
    made = [parts.index()]
    here = {"architecture": form.machine_name(), "os": "linux"}
    for _ in range(depth):
        inner = parts.described(made[-1], form.INDEX, platform=here)
        made.append(json.dumps({"schemaVersion": 2, "manifests": [inner]}).encode())
    return made


def _changed(**words: object) -> bytes:
    return json.dumps({**json.loads(PARTS.manifest), **words}).encode()


_LAYER = json.loads(PARTS.manifest)["layers"][0]


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (_changed(layers=[_LAYER] * 10_000), "10000 layers, and may have 1 to 128"),
        (_changed(layers=[]), "0 layers"),
        (_changed(layers=[{**_LAYER, "size": 1 << 40}]), "hosting.build_bytes"),
        (_changed(layers=[{**_LAYER, "size": -1}]), "by no digest"),
        (_changed(layers=[{**_LAYER, "digest": "sha256:../../../../etc/passwd"}]), "by no digest"),
        (_changed(layers=[{**_LAYER, "digest": "sha512:" + "a" * 128}]), "by no digest"),
        (_changed(layers=[{**_LAYER, "mediaType": form.LAYER[:-4] + "zstd"}]), "('zstd')"),
        (_changed(layers=[{**_LAYER, "mediaType": "text/x-foreign"}]), "('text/x-foreign')"),
        (_changed(manifests=[]), "no image"),
        (_changed(layers=None), "no image"),
        (b'{"schemaVersion": 1, "fsLayers": []}', "no image"),
        (b"[" * 100_000, "can be read"),
        (b"\xff\xfe", "can be read"),
        (b"{}" + b" " * (5 << 20), "larger than"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)  # fmt: skip
async def test_a_manifest_that_asks_too_much_is_refused_before_a_layer_is_fetched(
    registry: PlayedRegistry, puller: Puller, manifest: bytes, why: str
):
    source = registry.serves(PARTS)
    registry.says(manifest, "v1")
    assert why in await refusal(puller, f"{source}:v1")
    assert not [head for head in registry.heads if "/blobs/" in head.split()[1]]


async def test_an_index_in_an_index_is_refused(registry: PlayedRegistry, puller: Puller):
    source = registry.serves(PARTS)
    every = _deep(PARTS, 50)
    for each in every:
        registry.says(each, digest_of(each))
    registry.says(every[-1], "deep")
    assert "an index within an index" in await refusal(puller, f"{source}:deep", Invalid)
    assert len(registry.heads) == 3


@pytest.mark.parametrize("what", ["manifest", "configuration", "layer"])
async def test_what_is_not_what_its_digest_says_is_refused(
    registry: PlayedRegistry, puller: Puller, what: str
):
    source = registry.serves(PARTS)
    named = {"manifest": PARTS.manifest, "configuration": PARTS.config, "layer": PARTS.layers[1]}
    octets = named[what]
    kind = "manifests" if what == "manifest" else "blobs"
    other = octets[:-1] + bytes([octets[-1] ^ 1])
    registry.answers[f"/v2/acme/tools/{kind}/{digest_of(octets)}"] = whole(other)
    told = await refusal(puller, f"{source}@{digest_of(PARTS.manifest)}", Invalid)
    assert "something else than what the digest says" in told
    if what == "layer":
        assert not puller.store.layout.blob_path(digest_of(octets)).exists()
        assert not puller.store.layout.blob_path(digest_of(other)).exists()


async def test_a_blob_that_never_ends_is_cut_off_where_its_size_ends(
    registry: PlayedRegistry, puller: Puller
):
    source = registry.serves(PARTS)
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()
            sent += 4096

    path = f"/v2/acme/tools/blobs/{digest_of(PARTS.layers[0])}"
    registry.answers[path] = endless
    assert "larger than" in await refusal(puller, f"{source}:v1", UpstreamUnreachable)
    registry.answers[path] = OK + b"content-length: 99999999999999\r\n\r\n"
    assert "larger than" in await refusal(puller, f"{source}:v1", UpstreamUnreachable)
    assert sent < 16 << 20


@pytest.mark.parametrize("where", ["/v2/", "manifest", "layer"])
async def test_a_registry_that_answers_too_slowly_is_left(
    registry: PlayedRegistry, tmp_path: Path, where: str
):
    source = registry.serves(PARTS)

    async def slow(writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"transfer-encoding: chunked\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    layer = f"/v2/acme/tools/blobs/{digest_of(PARTS.layers[0])}"
    places = {"manifest": "/v2/acme/tools/manifests/v1", "layer": layer}
    registry.answers[places.get(where, where)] = slow
    puller = Puller(tmp_path / "gate", f"http://{registry.host}", seconds=1.0)
    begun = asyncio.get_running_loop().time()
    assert await refusal(puller, f"{source}:v1") != ""
    assert asyncio.get_running_loop().time() - begun < 5


async def test_a_pull_that_is_cancelled_leaves_nothing_half(
    registry: PlayedRegistry, puller: Puller
):
    source, asked = registry.serves(RANDOM), asyncio.Event()

    async def stuck(writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"content-length: 1000\r\n\r\nbegun")
        await writer.drain()
        asked.set()
        await asyncio.Event().wait()

    registry.answers[f"/v2/acme/tools/blobs/{digest_of(RANDOM.layers[0])}"] = stuck
    pulling = asyncio.ensure_future(pull(puller, f"{source}:v1"))
    await asyncio.wait_for(asked.wait(), 10)
    pulling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pulling
    assert not list(puller.store.layout.directory.glob("new-*"))
    assert await puller.store.images() == ()


async def test_more_than_a_build_may_take_is_not_fetched(registry: PlayedRegistry, tmp_path: Path):
    source = registry.serves(RANDOM)
    puller = Puller(tmp_path / "gate", f"http://{registry.host}", most=100)
    assert "hosting.build_bytes" in await refusal(puller, f"{source}:v1", LimitReached)
