"""ContextForge with its audit trail on: one worker, SQLite, what is optional switched off."""

import http.client
import json
import secrets
import subprocess
from typing import Any

from bench import TARGET_CORE, proc, wire
from bench.prepare import CONTEXTFORGE, installed
from bench.targets.target import Place, Target

ADMIN = "bench@example.com"


class ContextForge(Target):
    name = "contextforge"
    title = "JWT, permission, `AUDIT_TRAIL_ENABLED`; one worker, SQLite, sessions kept"
    most_connections = 32
    seconds_to_start = 120.0

    def version(self) -> str:
        return installed(CONTEXTFORGE).version

    def absent(self) -> str | None:
        return installed(CONTEXTFORGE).missing

    def prepare(self, place: Place) -> None:
        self._folder = place.folder_of(self.name)
        self._port = proc.free_port()
        self._env = self._settings()
        self._token = self._sign()
        self.spawn()
        assert self.process is not None
        try:
            proc.wait_for_port(self._port, self.process, self.seconds_to_start)
            self._register(f"http://127.0.0.1:{place.upstream_port}/mcp")
        finally:
            self.stop()

    def _settings(self) -> dict[str, str]:
        password = secrets.token_urlsafe(24) + "!aA1"
        on_loopback = {"SSRF_ALLOW_LOCALHOST": "true", "SSRF_ALLOW_PRIVATE_NETWORKS": "true"}
        return on_loopback | {
            "DATABASE_URL": f"sqlite:///{self._folder}/mcp.db",
            "JWT_SECRET_KEY": secrets.token_urlsafe(48),
            "AUTH_ENCRYPTION_SECRET": secrets.token_urlsafe(48),
            "BASIC_AUTH_PASSWORD": password,
            "DEFAULT_USER_PASSWORD": password,
            "PLATFORM_ADMIN_EMAIL": ADMIN,
            "PLATFORM_ADMIN_PASSWORD": password,
            "AUDIT_TRAIL_ENABLED": "true",
            "USE_STATEFUL_SESSIONS": "true",
            "RATE_LIMITING_ENABLED": "false",  # else it would answer 100 calls a minute
            "PLUGINS_ENABLED": "false",
            "CACHE_TYPE": "memory",
            "LOG_LEVEL": "ERROR",
        }

    def _sign(self) -> str:
        # It reads the secret from the environment: an argument list is everybody's to read.
        words = ["--username", ADMIN, "--exp", "1000"]
        done = subprocess.run(
            [CONTEXTFORGE.python, "-m", "mcpgateway.utils.create_jwt_token", *words],
            env=self._env,
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()[-1]

    def _admin(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 300:
            raise proc.Unready(f"contextforge {path}: {answer.status} {text[:300]!r}")
        return json.loads(text)

    def _register(self, upstream: str) -> None:
        gateway = {"name": "stub", "url": upstream, "transport": "STREAMABLEHTTP"}
        self._admin("POST", "/gateways", gateway)
        tools = [tool["id"] for tool in self._admin("GET", "/tools")]
        server = {"server": {"name": "bench", "associated_tools": tools}}
        self._path = f"/servers/{self._admin('POST', '/servers', server)['id']}/mcp/"

    def spawn(self) -> None:
        program = CONTEXTFORGE.python.with_name("mcpgateway")
        self.process = proc.start(
            [program, "--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"],
            core=TARGET_CORE,
            log=self._folder / "log",
            env=self._env,
            cwd=self._folder,
        )

    def door(self) -> wire.Door:
        # It speaks the legacy era only, whatever the others are measured in.
        return wire.Door(self._port, self._path, "stub-echo", self._token, "legacy")
