"""FastMCP's proxy as its documentation shows it, with one static token. Runs in its own venv."""

import sys

from fastmcp.server import create_proxy
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier

if __name__ == "__main__":
    url, port, token = sys.argv[1:]
    auth = StaticTokenVerifier(tokens={token: {"client_id": "bench", "scopes": []}})
    proxy = create_proxy(url, name="bench", auth=auth)
    proxy.run(
        transport="http",
        host="127.0.0.1",
        port=int(port),
        show_banner=False,
        log_level="error",
    )
