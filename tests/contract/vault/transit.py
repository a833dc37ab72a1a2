"""A fake of the transit engine behind its HTTP API: encrypt and decrypt with associated data.

What it answers is what HashiCorp Vault 1.21 answered to the same requests.
"""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "s.fake-token"


class FakeTransit:
    """One key, one token; `asked` are the bodies that came."""

    def __init__(self) -> None:
        self.aead = AESGCM(bytes(32))
        self.asked: list[bytes] = []
        self.status = 0
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                fake.asked.append(body)
                status, told = fake.answer(self.path, self.headers.get("X-Vault-Token"), body)
                octets = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets)

            def log_message(self, *_words: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def uri(self) -> str:
        return f"vault:http://127.0.0.1:{self.server.server_port}/v1/transit/keys/gate"

    def answer(self, path: str, token: str | None, body: bytes) -> tuple[int, dict[str, Any]]:
        if self.status:
            return self.status, {"errors": ["told to"]}
        if token != TOKEN:
            return 403, {"errors": ["permission denied"]}
        given = json.loads(body)
        bound = base64.b64decode(given["associated_data"])
        if path == "/v1/transit/encrypt/gate":
            plain = base64.b64decode(given["plaintext"])
            sealed = bytes(12) + self.aead.encrypt(bytes(12), plain, bound)
            return 200, {"data": {"ciphertext": "vault:v1:" + base64.b64encode(sealed).decode()}}
        if path == "/v1/transit/decrypt/gate":
            try:
                sealed = base64.b64decode(given["ciphertext"].removeprefix("vault:v1:"))
                plain = self.aead.decrypt(sealed[:12], sealed[12:], bound)
            except (InvalidTag, ValueError):
                return 400, {"errors": ["cipher: message authentication failed"]}
            return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}
        return 404, {"errors": []}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
