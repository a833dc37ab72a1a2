"""Images of registries: pulled by digest, as the operator allowed, and no byte beyond."""

import asyncio
from pathlib import Path

import pytest
from tests.integration.net.service import redirect, whole
from tests.integration.packages.image_registry import (
    PARTS,
    USER,
    WORD,
    ImageParts,
    PlayedRegistry,
    Puller,
    bearer,
    digest_of,
    pull,
    real_registry,
    refusal,
)

from gatelodge.adapters.images import manifest as form
from gatelodge.adapters.images.registry import session
from gatelodge.core.errors import Invalid

pytestmark = pytest.mark.anyio

BASIC = "Authorization: Basic "


@pytest.mark.parametrize("login", [False, True], ids=["anybody", "login"])
async def test_a_real_registry_gives_an_image_by_tag_and_by_digest(
    tmp_path: Path, login: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REGISTRY_WORD", WORD)
    with real_registry(tmp_path / "registry", login=login) as real:
        digest = real.push("acme/tools", "v1", PARTS)
        logins = (f"{real.host}={USER}=env:REGISTRY_WORD",) if login else ()
        puller = Puller(tmp_path / "gate", f"http://{real.host}", logins=logins)
        kept = await pull(puller, f"{real.host}/acme/tools:v1")
        assert kept.image == digest
        assert kept.source == f"oci:{real.host}/acme/tools@{digest}"
        root = await puller.store.root(digest)
        assert (root / "app" / "text").read_bytes() == b"upper"
        other = Puller(tmp_path / "other", f"http://{real.host}", logins=logins)
        assert (await pull(other, f"{real.host}/acme/tools@{digest}")).image == digest
        if login:
            stranger = Puller(tmp_path / "stranger", f"http://{real.host}")
            told = await refusal(stranger, f"{real.host}/acme/tools:v1", Invalid)
            assert "HTTP 401" in told
            assert "hosting.registry_logins" in told
        else:
            assert "HTTP 404" in await refusal(
                Puller(tmp_path / "none", f"http://{real.host}"), f"{real.host}/acme/none:v1"
            )


async def test_of_an_index_the_form_for_this_machine_is_taken(tmp_path: Path):
    elsewhere = {"architecture": "s390x", "os": "linux"}
    with real_registry(tmp_path / "registry") as real:
        alien = ImageParts(b"alien", architecture="s390x")
        other = real.push("acme/tools", "alien", alien)
        mine = real.push("acme/tools", "mine", PARTS)
        index = PARTS.index(alien.described(alien.manifest, form.MANIFEST, platform=elsewhere))
        both = real.put_manifest("acme/tools", "both", index, form.INDEX)
        puller = Puller(tmp_path / "gate", f"http://{real.host}")
        kept = await pull(puller, f"{real.host}/acme/tools:both")
        assert (kept.image, kept.source) == (mine, f"oci:{real.host}/acme/tools@{both}")
        wrong = await refusal(
            Puller(tmp_path / "2", f"http://{real.host}"), f"{real.host}/acme/tools@{other}"
        )
        assert "linux on s390x" in wrong


async def test_what_docker_pushes_is_taken_as_well(tmp_path: Path):
    parts = ImageParts(b"text")
    parts.kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    parts.manifest_kind = form.DOCKER_MANIFEST
    with real_registry(tmp_path / "registry") as real:
        digest = real.push("acme/tools", "v1", parts)
        puller = Puller(tmp_path / "gate", f"http://{real.host}")
        assert (await pull(puller, f"{real.host}/acme/tools:v1")).image == digest
        assert ((await puller.store.root(digest)) / "app" / "text").read_bytes() == b"text"


async def test_what_is_here_is_not_fetched_again_also_after_a_pull_that_failed(
    registry: PlayedRegistry, puller: Puller
):
    source = registry.serves(PARTS)
    lower, upper = (f"/v2/acme/tools/blobs/{digest_of(each)}" for each in PARTS.layers)
    good = registry.answers.pop(upper)
    registry.answers[upper] = whole(b"gone", b"HTTP/1.1 404 Not Found\r\n")
    await refusal(puller, f"{source}:v1", Invalid)
    registry.answers[upper] = good
    await pull(puller, f"{source}:v1")
    assert (registry.asked_for(lower), registry.asked_for(upper)) == (1, 2)
    more = ImageParts(b"lower", b"another")
    registry.serves(more, "v2")
    await pull(puller, f"{source}:v2")
    assert registry.asked_for(lower) == 1


async def test_a_layer_that_was_changed_on_this_machine_is_put_in_its_place_anew(
    registry: PlayedRegistry, puller: Puller
):
    source = registry.serves(PARTS)
    await pull(puller, f"{source}:v1")
    place = puller.store.layout.blob_path(digest_of(PARTS.layers[0]))
    place.write_bytes(b"changed")
    kept = await pull(puller, f"{source}:v1")
    assert (await puller.store.root(kept.image)).is_dir()


async def test_a_registry_that_fails_for_a_moment_is_asked_again(
    registry: PlayedRegistry, puller: Puller, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session, "_PAUSE", 0.01)
    source = registry.serves(PARTS)
    path = f"/v2/acme/tools/blobs/{digest_of(PARTS.layers[0])}"
    good, seen = registry.answers[path], []

    async def moody(writer: asyncio.StreamWriter) -> None:
        seen.append(len(seen))
        if len(seen) == 1:
            writer.write(whole(b"later", b"HTTP/1.1 503 Later\r\n"))
        elif len(seen) == 2:
            writer.write(good[:-3])
            writer.transport.abort()
        else:
            writer.write(good)

    registry.answers[path] = moody
    assert (await pull(puller, f"{source}:v1")).image == digest_of(PARTS.manifest)
    assert len(seen) == 3


async def test_how_far_a_pull_is_is_told_in_mebibytes(registry: PlayedRegistry, puller: Puller):
    await pull(puller, f"{registry.serves(PARTS)}:v1")
    assert puller.said[0] == "resolve"
    assert puller.said[1] == "fetch 0.0 MiB"
    assert puller.said[-1] == "layers"


async def test_a_token_is_had_from_the_service_that_the_registry_names(
    registry: PlayedRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REGISTRY_WORD", WORD)
    source = registry.serves(PARTS)
    registry.answers["/v2/"] = whole(b"", bearer(f"http://{registry.host}/token?a=b"))
    asked = "/token?a=b&service=it&scope=repository%3Aacme%2Ftools%3Apull"
    registry.answers[asked] = whole(b'{"token": "t0ken"}')
    place = f"http://{registry.host}"
    await pull(Puller(tmp_path / "1", place), f"{source}:v1")
    heads = {head.split()[1]: head for head in registry.heads}
    assert "authorization" not in heads[asked].lower()
    assert "Authorization: Bearer t0ken\r\n" in heads["/v2/acme/tools/manifests/v1"]
    login = f"{registry.host}={USER}=env:REGISTRY_WORD"
    await pull(Puller(tmp_path / "2", place, logins=(login,)), f"{source}:v1")
    heads = {head.split()[1]: head for head in registry.heads}
    assert BASIC in heads[asked]
    assert BASIC not in heads["/v2/acme/tools/manifests/v1"]


async def test_a_token_that_is_over_is_renewed_once(registry: PlayedRegistry, puller: Puller):
    source = registry.serves(PARTS)
    over = bearer(f"http://{registry.host}/token")
    asked = "/token?service=it&scope=repository%3Aacme%2Ftools%3Apull"
    registry.answers["/v2/"] = whole(b"", over)
    registry.answers[asked] = whole(b'{"access_token": "t0ken"}')
    registry.answers["/v2/acme/tools/manifests/v1"] = whole(b"", over)
    assert "HTTP 401" in await refusal(puller, f"{source}:v1", Invalid)
    assert registry.asked_for(asked) == 2


async def test_a_login_is_shown_to_no_place_that_a_redirect_leads_to(
    registry: PlayedRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("REGISTRY_WORD", WORD)
    elsewhere = PlayedRegistry()
    await elsewhere.start()
    try:
        source = registry.serves(PARTS)
        registry.answers["/v2/"] = whole(
            b"", b'HTTP/1.1 401 U\r\nWWW-Authenticate: Basic realm="x"\r\n'
        )
        elsewhere.serves(PARTS)
        for each in PARTS.layers:
            path = f"/v2/acme/tools/blobs/{digest_of(each)}"
            registry.answers[path] = redirect(f"http://{elsewhere.host}{path}", 307)
        # It wants to be told who asks, in the name of the registry.
        realm = bearer(f"http://{elsewhere.host}/token")
        elsewhere.answers["/v2/"] = whole(b"", realm)
        login = f"{registry.host}={USER}=env:REGISTRY_WORD"
        both = (f"http://{registry.host}", f"http://{elsewhere.host}")
        await pull(Puller(tmp_path / "1", *both, logins=(login,)), f"{source}:v1")
        assert len(elsewhere.heads) == len(PARTS.layers)
        assert not [head for head in elsewhere.heads if "authorization" in head.lower()]
        assert BASIC in registry.heads[-1]
        path = f"/v2/acme/tools/blobs/{digest_of(PARTS.layers[0])}"
        elsewhere.answers[path] = whole(b"", realm)
        await refusal(Puller(tmp_path / "2", *both, logins=(login,)), f"{source}:v1")
        assert not [head for head in elsewhere.heads if "authorization" in head.lower()]
        alone = await refusal(Puller(tmp_path / "3", both[0], logins=(login,)), f"{source}:v1")
        assert "http:// addresses only where that is allowed" in alone
        assert "hosting.private_origins" in alone
    finally:
        await elsewhere.stop()
