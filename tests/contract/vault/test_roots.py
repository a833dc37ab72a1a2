"""What each root of the vault owes, whichever the settings name.

A real transit engine is one more root of the suite where `GATELODGE_TEST_TRANSIT` names its key
(`vault:http://127.0.0.1:8200/v1/transit/keys/NAME`) and `GATELODGE_TEST_TRANSIT_TOKEN` holds a
token; without them a fake behind the same API stands in.
"""

import os
import ssl
from collections.abc import Iterator

import pytest
from tests.contract.vault.transit import TOKEN, FakeTransit

from gatelodge.adapters.keys.secret_refs import SecretRefs
from gatelodge.adapters.keys.vault.envelope import EnvelopeSealer
from gatelodge.adapters.keys.vault.roots import RootMeans, open_root
from gatelodge.adapters.net.fetch import GuardedClient
from gatelodge.core.errors import Invalid, KeyMismatch, KeyUnreachable
from gatelodge.core.vault.secret import sealing_context
from gatelodge.ports.vault import SealedParts, VaultRoot

pytestmark = pytest.mark.anyio
REAL = "GATELODGE_TEST_TRANSIT"
CONTEXT = sealing_context("wsp_a", "crm", "", 1)
ELSEWHERE = sealing_context("wsp_a", "crm", "mem_x", 1)
KEY = bytes(range(32))


def means(token: str = "", kek: bytes = b"k" * 32) -> RootMeans:
    client = GuardedClient(ssl.create_default_context, "0")
    return RootMeans(kek=kek, secrets=SecretRefs(), client=client, token=token)


@pytest.fixture
def fake() -> Iterator[FakeTransit]:
    made = FakeTransit()
    yield made
    made.close()


@pytest.fixture(params=["the gate's key", "a file", "a variable", "transit", "a real transit"])
def root(request, tmp_path, monkeypatch) -> VaultRoot:
    if request.param == "the gate's key":
        return open_root("file:", means())
    if request.param == "a file":
        (tmp_path / "root").write_text("ab" * 32 + "\n")
        (tmp_path / "root").chmod(0o600)
        return open_root(f"file:{tmp_path}/root", means())
    if request.param == "a variable":
        monkeypatch.setenv("GATE_ROOT", "cd" * 32)
        return open_root("env:GATE_ROOT", means())
    if request.param == "transit":
        monkeypatch.setenv("FAKE_TOKEN", TOKEN)
        return open_root(request.getfixturevalue("fake").uri, means("env:FAKE_TOKEN"))
    if REAL not in os.environ:
        pytest.skip(f"{REAL} names no key")
    return open_root(os.environ[REAL], means(f"env:{REAL}_TOKEN"))


async def test_a_key_is_wrapped_and_unwrapped_and_wrapped_otherwise_each_time(root: VaultRoot):
    wrapped = await root.wrap(KEY, CONTEXT)
    assert await root.unwrap(wrapped, CONTEXT) == KEY
    assert KEY.hex() not in wrapped
    if "127.0.0.1" not in root.uri:  # the fake has one nonce
        assert await root.wrap(KEY, CONTEXT) != wrapped


async def test_a_key_opens_in_its_own_place_alone(root: VaultRoot):
    wrapped = await root.wrap(KEY, CONTEXT)
    with pytest.raises(KeyMismatch):
        await root.unwrap(wrapped, ELSEWHERE)


@pytest.mark.parametrize("spoiled", ["", "00", "vault:v1:AAAA", "no such thing"])
async def test_what_no_root_wrapped_is_no_key(root: VaultRoot, spoiled: str):
    with pytest.raises(KeyMismatch):
        await root.unwrap(spoiled, CONTEXT)


async def test_a_value_is_sealed_and_opened_under_it(root: VaultRoot):
    sealer = EnvelopeSealer(root)
    parts = await sealer.seal("a value \N{EURO SIGN}", CONTEXT)
    assert await sealer.open(parts, CONTEXT) == "a value \N{EURO SIGN}"
    assert parts.root == root.uri
    with pytest.raises(KeyMismatch):
        await sealer.open(parts, ELSEWHERE)


async def test_a_value_moves_to_another_root_without_being_sealed_anew(root: VaultRoot):
    before = open_root("file:", means(kek=b"o" * 32))
    old = EnvelopeSealer(before)
    parts = await old.seal("value", CONTEXT)
    # Two keys of the gate would bear one name, which no settings can say.
    if root.uri == before.uri:
        return
    new = EnvelopeSealer(root, [before])
    moved = await new.rewrap(parts, CONTEXT)
    assert (moved.root, moved.sealed) == (root.uri, parts.sealed)
    assert await EnvelopeSealer(root).open(moved, CONTEXT) == "value"


async def test_only_roots_of_the_settings_are_asked(fake: FakeTransit, monkeypatch):
    monkeypatch.setenv("FAKE_TOKEN", TOKEN)
    sealer = EnvelopeSealer(open_root("file:", means("env:FAKE_TOKEN")))
    planted = SealedParts(root=fake.uri, wrapped="vault:v1:AAAA", sealed="AAAA")
    with pytest.raises(KeyUnreachable, match="do not name"):
        await sealer.open(planted, CONTEXT)
    assert fake.asked == []


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
async def test_a_service_that_refuses_is_a_root_that_is_not_reached(
    fake: FakeTransit, monkeypatch, status: int
):
    monkeypatch.setenv("FAKE_TOKEN", TOKEN)
    root = open_root(fake.uri, means("env:FAKE_TOKEN"))
    fake.status = status
    with pytest.raises(KeyUnreachable, match=str(status)) as told:
        await root.wrap(KEY, CONTEXT)
    assert TOKEN not in str(told.value.detail) + told.value.remedy


async def test_a_service_that_is_gone_or_a_token_that_is_not_there_says_so(
    fake: FakeTransit, monkeypatch
):
    monkeypatch.delenv("FAKE_TOKEN", raising=False)
    root = open_root(fake.uri, means("env:FAKE_TOKEN"))
    with pytest.raises(KeyUnreachable, match="FAKE_TOKEN is not set"):
        await root.wrap(KEY, CONTEXT)
    monkeypatch.setenv("FAKE_TOKEN", TOKEN)
    fake.close()
    with pytest.raises(KeyUnreachable, match="was not reached"):
        await root.wrap(KEY, CONTEXT)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "file",
        "file:relative",
        "env:",
        "vault:",
        "vault:https://vault.example/v1/secret/data/x",
        "https://vault.example/v1/transit/keys/x",
        "hsm:1",
    ],
)
def test_what_names_no_root_is_refused_when_the_gate_starts(uri: str):
    with pytest.raises(Invalid):
        open_root(uri, means())


@pytest.mark.parametrize("uri", ["awskms:arn:aws:kms:a", "gcpkms:projects/a", "azurekms:https://a"])
def test_a_root_that_this_build_lacks_is_refused_in_clear_words(uri: str):
    with pytest.raises(Invalid, match="is not available in this build"):
        open_root(uri, means())


async def test_a_root_key_that_is_none_is_said_without_its_text(monkeypatch):
    monkeypatch.setenv("GATE_ROOT", "canary-not-a-key")
    with pytest.raises(KeyUnreachable) as told:
        await open_root("env:GATE_ROOT", means()).wrap(KEY, CONTEXT)
    assert "canary" not in told.value.detail + told.value.remedy
    assert told.value.__context__ is None
