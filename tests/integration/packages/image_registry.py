"""Registries of images: a real one on loopback, and one whose every answer a test writes."""

import base64
import gzip
import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.integration.net.service import OK, Service, whole
from tests.unit.images.layers_of import entry, layer, store_in

from gatelodge.adapters.images import manifest as form
from gatelodge.adapters.images.registry.pull import RegistryImages
from gatelodge.adapters.images.registry.session import RegistryWays
from gatelodge.adapters.images.store import OciImageStore
from gatelodge.adapters.keys.secret_refs import SecretRefs
from gatelodge.adapters.net.fetch import GuardedClient
from gatelodge.core.catalog.registries import read_login
from gatelodge.core.errors import HouseError
from gatelodge.core.hosting.source import read_source
from gatelodge.ports.images import KeptImage

USER, WORD = "robot$tools", "w0rd-of-a-registry"
_HASHED = f"{USER}:$2b$05$8I.R1icItg7v1BE7W3823urkCgsftpQojHefFztzKtf9SOEsxW3ye"
_WAIT = 20.0


def digest_of(octets: bytes) -> str:
    return f"sha256:{hashlib.sha256(octets).hexdigest()}"


class ImageParts:
    """An image as its blobs; a test changes them before they are served or pushed."""

    def __init__(self, *texts: bytes, **changed: object) -> None:
        plain = [layer(entry("app/text", text)) for text in texts]
        self.layers = [gzip.compress(each, mtime=0) for each in plain]
        described = {
            "architecture": form.machine_name(),
            "os": "linux",
            "config": {"Entrypoint": ["/app/serve"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(each) for each in plain]},
            **changed,
        }
        self.config = json.dumps(described).encode()
        self.kind, self.manifest_kind = form.LAYER, form.MANIFEST

    @property
    def manifest(self) -> bytes:
        return json.dumps({
            "schemaVersion": 2,
            "mediaType": self.manifest_kind,
            "config": self.described(self.config, form.CONFIG),
            "layers": [self.described(each, self.kind) for each in self.layers],
        }).encode()  # fmt: skip

    @staticmethod
    def described(octets: bytes, kind: str, **more: object) -> dict[str, object]:
        return {"mediaType": kind, "digest": digest_of(octets), "size": len(octets), **more}

    def index(self, *others: dict[str, object]) -> bytes:
        here = {"architecture": form.machine_name(), "os": "linux"}
        mine = self.described(self.manifest, form.MANIFEST, platform=here)
        return json.dumps({
            "schemaVersion": 2, "mediaType": form.INDEX, "manifests": [*others, mine],
        }).encode()  # fmt: skip

    @property
    def blobs(self) -> list[bytes]:
        return [self.config, *self.layers]


PARTS = ImageParts(b"lower", b"upper")


class PlayedRegistry(Service):
    """Answers by path, as a test wrote them; `serves` writes the good ones."""

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def serves(self, parts: ImageParts, tag: str = "v1", name: str = "acme/tools") -> str:
        """All of an image, and where it is."""
        self.answers.setdefault("/v2/", whole(b"{}"))
        for each in parts.blobs:
            self.answers[f"/v2/{name}/blobs/{digest_of(each)}"] = whole(each)
        self.says(parts.manifest, digest_of(parts.manifest), name)
        self.says(parts.manifest, tag, name)
        return f"{self.host}/{name}"

    def says(self, octets: bytes, reference: str, name: str = "acme/tools") -> None:
        kind = b"content-type: application/vnd.oci.image.manifest.v1+json\r\n"
        self.answers[f"/v2/{name}/manifests/{reference}"] = whole(octets, OK + kind)

    def asked_for(self, path: str) -> int:
        return sum(head.split()[1] == path for head in self.heads)


class Puller:
    """A store of images, and what pulls into it; `said` is what was told on the way."""

    def __init__(
        self, directory: Path, *private: str, logins: tuple[str, ...] = (), **bounds: float
    ) -> None:
        self.store: OciImageStore = store_in(directory)
        self.said: list[str] = []
        self.client = GuardedClient(_no_tls, "1.2")
        ways = RegistryWays(
            client=self.client,
            private=frozenset(private),
            logins=dict(map(read_login, logins)),
            secret=SecretRefs().resolve,
        )
        self.images = RegistryImages(
            self.store, ways, bounds.get("seconds", 20.0), int(bounds.get("most", 64 << 20))
        )

    async def report(self, said: str) -> None:
        self.said.append(said)


async def pull(puller: Puller, source: str) -> KeptImage:
    return await puller.images.pull(read_source(f"oci:{source}"), f"oci:{source}", puller.report)


async def refusal(puller: Puller, source: str, kind: type[HouseError] = HouseError) -> str:
    """Why it was not taken; nothing of it is listed, and nothing half of it is left."""
    with pytest.raises(kind) as refused:
        await pull(puller, source)
    assert WORD not in refused.value.detail + refused.value.remedy
    assert await puller.store.images() == ()
    assert not list(puller.store.layout.directory.glob("new-*"))
    return f"{refused.value.detail} {refused.value.remedy}"


def _no_tls() -> None:
    raise AssertionError("nothing here is asked with TLS")


def bearer(realm: str, service: str = "it") -> bytes:
    told = f'Bearer realm="{realm}",service="{service}",scope="repository:other:push"'
    return b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: " + told.encode() + b"\r\n"


class RealRegistry:
    """The registry that container engines push to, in a process of its own."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self.host = f"127.0.0.1:{port}"
        self._headers = headers

    def push(self, name: str, tag: str, parts: ImageParts) -> str:
        """Push an image; its digest."""
        for each in parts.blobs:
            self.put_blob(name, each)
        return self.put_manifest(name, tag, parts.manifest, parts.manifest_kind)

    def push_layout(self, name: str, tag: str, layout: Path, image: str) -> None:
        """Push an image of a layout on the disk."""
        blobs = layout / "blobs" / "sha256"
        octets = (blobs / image[7:]).read_bytes()
        manifest = json.loads(octets)
        for each in (manifest["config"], *manifest["layers"]):
            self.put_blob(name, (blobs / each["digest"][7:]).read_bytes())
        self.put_manifest(name, tag, octets, form.MANIFEST)

    def put_blob(self, name: str, octets: bytes) -> None:
        place = self._asks("POST", f"/v2/{name}/blobs/uploads/", b"", 202)
        path = place.split(self.host)[-1]
        sign = "&" if "?" in path else "?"
        self._asks("PUT", f"{path}{sign}digest={digest_of(octets)}", octets, 201)

    def put_manifest(self, name: str, reference: str, octets: bytes, kind: str) -> str:
        self._asks("PUT", f"/v2/{name}/manifests/{reference}", octets, 201, kind)
        return digest_of(octets)

    def _asks(
        self,
        method: str,
        path: str,
        body: bytes,
        wanted: int,
        kind: str = "application/octet-stream",
    ) -> str:
        with closing(http.client.HTTPConnection(self.host, timeout=_WAIT)) as link:
            link.request(method, path, body, {"Content-Type": kind, **self._headers})
            answer = link.getresponse()
            told = answer.read()
            assert answer.status == wanted, (path, answer.status, told)
            return answer.getheader("Location") or ""


@contextmanager
def real_registry(directory: Path, *, login: bool = False) -> Iterator[RealRegistry]:
    """A registry that answers until the context ends."""
    program = shutil.which("docker-registry")
    if program is None:
        assert not os.environ.get("REQUIRE_REGISTRY"), "docker-registry is not on this machine"
        pytest.skip("docker-registry is not on this machine")
    directory.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "blobs")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if login:
        (directory / "users").write_text(_HASHED)
        settings["auth"] = {"htpasswd": {"realm": "it", "path": str(directory / "users")}}
    (directory / "config.yml").write_text(json.dumps(settings))
    words = base64.b64encode(f"{USER}:{WORD}".encode()).decode()
    with (directory / "log").open("wb") as log:
        running = subprocess.Popen(
            [program, "serve", str(directory / "config.yml")], stdout=log, stderr=log
        )
    try:
        _wait_for(lambda: _answers(port), running, directory / "log")
        yield RealRegistry(port, {"Authorization": f"Basic {words}"} if login else {})
    finally:
        running.kill()
        running.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _wait_for(ready: Callable[[], bool], running: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + _WAIT
    while not ready():
        assert running.poll() is None, log.read_text()
        assert time.monotonic() < ends, log.read_text()
        time.sleep(0.05)
