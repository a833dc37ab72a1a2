"""Home folders as clients leave them: for each client its file, with one server of each kind."""

import json
from collections.abc import Mapping
from pathlib import Path

TOKEN = "ghp_canaryCANARYcanary000000000000000001"
WORD = "hunter2canary"
"""A secret that looks like any other word."""

_STDIO = {"command": "npx", "args": ["-y", "@a/tracker@1.2.3"], "env": {"TRACKER_TOKEN": TOKEN}}
_HEAD = {"Authorization": f"Bearer {WORD}"}
_WEB = {"url": "https://mcp.example.com/mcp", "headers": _HEAD}


def _json(key: str, web: object = _WEB, stdio: object = _STDIO) -> str:
    return json.dumps({key: {"tracker": stdio, "web": web}})


_LOCAL = {
    "type": "local",
    "command": ["npx", "-y", "@a/tracker@1.2.3"],
    "enabled": True,
    "environment": {"TRACKER_TOKEN": TOKEN},
}
_REMOTE = {"type": "remote", "enabled": True, **_WEB}
_TOML = f"""
model = "x"
[mcp_servers.tracker]
command = "npx"
args = ["-y", "@a/tracker@1.2.3"]
env = {{ TRACKER_TOKEN = "{TOKEN}" }}
[mcp_servers.web]
url = "https://mcp.example.com/mcp"
http_headers = {{ Authorization = "Bearer {WORD}" }}
"""
_GOOSE = f"""
GOOSE_PROVIDER: x
extensions:
  developer: {{type: builtin, enabled: true, bundled: true}}
  tracker:
    type: stdio
    cmd: npx
    args: [-y, "@a/tracker@1.2.3"]
    envs: {{TRACKER_TOKEN: {TOKEN}}}
    enabled: true
  web:
    type: streamable_http
    uri: https://mcp.example.com/mcp
    headers: {{Authorization: "Bearer {WORD}"}}
"""
_CONTINUE = f"""
name: mine
mcpServers:
  - name: tracker
    command: npx
    args: [-y, "@a/tracker@1.2.3"]
    env: {{TRACKER_TOKEN: {TOKEN}}}
  - name: web
    type: streamable-http
    url: https://mcp.example.com/mcp
    requestOptions: {{headers: {{Authorization: "Bearer {WORD}"}}}}
"""

_SERVERS = "mcpServers"
_CLINE = "Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"
_VSCODE = '// mine\n{"inputs": [],' + _json("servers")[1:-1] + ",}"
_ZED = '{"theme": "x",' + _json("context_servers")[1:]
_GEMINI = '{"mcp": {"excluded": []},' + _json(_SERVERS)[1:]
_WINDSURF = _json(_SERVERS, {"serverUrl": _WEB["url"], "headers": _HEAD})
FILES: Mapping[str, tuple[str, str]] = {
    "antigravity": (".gemini/config/mcp_config.json", _WINDSURF),
    "amp": (".config/amp/settings.json", _json("amp.mcpServers")),
    "claude-code": (".claude.json", '{"numStartups": 3,' + _json(_SERVERS)[1:]),
    "claude-desktop": ("AppData/Roaming/Claude/claude_desktop_config.json", _json(_SERVERS)),
    "cline": (f".config/{_CLINE}", _json(_SERVERS, {**_WEB, "type": "streamableHttp"})),
    "cline-cli": (".cline/data/settings/cline_mcp_settings.json", _json(_SERVERS)),
    "codex": (".codex/config.toml", _TOML),
    "continue": (".continue/config.yaml", _CONTINUE),
    "cursor": (".cursor/mcp.json", _json(_SERVERS)),
    "fx": (".fx/mcp.json", _json("mcp", _REMOTE, _LOCAL)),
    "gemini-cli": (".gemini/settings.json", _GEMINI),
    "github-copilot-cli": (".copilot/mcp-config.json", _json(_SERVERS, {**_WEB, "tools": ["*"]})),
    "goose": (".config/goose/config.yaml", _GOOSE),
    "grok-build": (".grok/config.toml", _TOML.replace("http_headers", "headers")),
    "kilo-code": (".config/kilo/kilo.json", _json("mcp", _REMOTE, _LOCAL)),
    "kimi-code": (".kimi-code/mcp.json", _json(_SERVERS, {**_WEB, "transport": "http"})),
    "kiro-cli": (".kiro/settings/mcp.json", _json(_SERVERS)),
    "mastracode": (".mastracode/mcp.json", _json(_SERVERS)),
    "mcporter": (".mcporter/mcporter.json", _json(_SERVERS)),
    "opencode": (".config/opencode/opencode.jsonc", _json("mcp", _REMOTE, _LOCAL)),
    "pi": (".pi/agent/mcp.json", _json(_SERVERS)),
    "vscode": ("Library/Application Support/Code/User/mcp.json", _VSCODE),
    "windsurf": (".codeium/windsurf/mcp_config.json", _WINDSURF),
    "zed": (".config/zed/settings.json", _ZED),
}
"""By client: the file below its home, and what stands in it."""


def write(folder: Path, path: str, text: str) -> Path:
    """The file with that text, its folders made."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file
