"""A place of packages of Node on loopback: what a registry would answer."""

import base64
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class NodeRegistry:
    """Packages by their names, each in one version; `url` is where they are."""

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}

    def publish(
        self, name: str, needs: dict[str, str], *, postinstall: str = "", **more: str
    ) -> None:
        """A package with a program of its own name; `more` are files, by their names."""
        described = {"name": name, "version": "1.0.0", "bin": "main.js", "dependencies": needs}
        if postinstall:
            described["scripts"] = {"postinstall": postinstall}
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            texts = {"package.json": json.dumps(described), "main.js": "", **more}
            for each, text in texts.items():
                info = tarfile.TarInfo(f"package/{each}")
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
        octets = packed.getvalue()
        integrity = f"sha512-{base64.b64encode(hashlib.sha512(octets).digest()).decode()}"
        dist = {"tarball": f"{self.url}/{name}.tgz", "integrity": integrity}
        whole = {"name": name, "dist-tags": {"latest": "1.0.0"}}
        whole["versions"] = {"1.0.0": {**described, "dist": dist}}
        self.files |= {f"/{name}": json.dumps(whole).encode(), f"/{name}.tgz": octets}


@contextmanager
def registry() -> Iterator[NodeRegistry]:
    """One that answers until the context ends."""
    made = NodeRegistry()

    class PackageAnswers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = made.files.get(self.path)
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Length", str(len(found or b"")))
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_: object) -> None:
            """Nothing is written."""

    with ThreadingHTTPServer(("127.0.0.1", 0), PackageAnswers) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield made
        finally:
            server.shutdown()
