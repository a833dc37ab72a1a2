"""Where clients keep their configurations: below a home folder, and in a project."""

from typing import Final

from msgspec import Struct

from gatelodge.core.fleet.documents import DocumentForm

_CONFIG: Final = (".config", "Library/Application Support", "AppData/Roaming")
"""Where programs keep their settings on Linux, macOS and Windows, below a home folder."""


class KnownFile(Struct, frozen=True):
    """A file that a client reads: which client, where it is, and in which form."""

    client: str
    path: str
    form: DocumentForm = "json"


def _everywhere(client: str, path: str) -> tuple[KnownFile, ...]:
    return tuple(KnownFile(client, f"{folder}/{path}") for folder in _CONFIG)


def _of_editors(client: str, path: str) -> tuple[KnownFile, ...]:
    editors = ("Code", "Code - Insiders", "VSCodium", "Cursor", "Windsurf")
    return tuple(each for name in editors for each in _everywhere(client, f"{name}/User/{path}"))


_CLINE = "globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"
_ROO = "globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json"

HOME_FILES: Final = (
    KnownFile("antigravity", ".gemini/config/mcp_config.json"),
    KnownFile("antigravity", ".gemini/antigravity/mcp_config.json"),
    *_everywhere("amp", "amp/settings.json"),
    KnownFile("claude-code", ".claude.json"),
    KnownFile("claude-code", ".claude/.claude.json"),
    *_everywhere("claude-desktop", "Claude/claude_desktop_config.json"),
    KnownFile("claude-desktop", ".config/claude/claude_desktop_config.json"),
    *_of_editors("cline", _CLINE),
    KnownFile("cline-cli", ".cline/data/settings/cline_mcp_settings.json"),
    KnownFile("codex", ".codex/config.toml", "toml"),
    KnownFile("continue", ".continue/config.yaml", "yaml"),
    KnownFile("continue", ".continue/config.json"),
    KnownFile("cursor", ".cursor/mcp.json"),
    KnownFile("factory", ".factory/mcp.json"),
    KnownFile("fx", ".fx/mcp.json"),
    KnownFile("gemini-cli", ".gemini/settings.json"),
    KnownFile("github-copilot-cli", ".copilot/mcp-config.json"),
    KnownFile("goose", ".config/goose/config.yaml", "yaml"),
    KnownFile("goose", "AppData/Roaming/Block/goose/config/config.yaml", "yaml"),
    KnownFile("grok-build", ".grok/config.toml", "toml"),
    KnownFile("kilo-code", ".config/kilo/kilo.json"),
    KnownFile("kimi-code", ".kimi-code/mcp.json"),
    KnownFile("kiro-cli", ".kiro/settings/mcp.json"),
    KnownFile("lm-studio", ".lmstudio/mcp.json"),
    KnownFile("mastracode", ".mastracode/mcp.json"),
    KnownFile("mcporter", ".mcporter/mcporter.json"),
    KnownFile("opencode", ".config/opencode/opencode.json"),
    KnownFile("opencode", ".config/opencode/opencode.jsonc"),
    KnownFile("pi", ".pi/agent/mcp.json"),
    *_of_editors("roo-code", _ROO),
    *_of_editors("vscode", "mcp.json"),
    *_of_editors("vscode", "settings.json"),
    KnownFile("vibe", ".vibe/config.toml", "toml"),
    KnownFile("windsurf", ".codeium/windsurf/mcp_config.json"),
    KnownFile("windsurf", ".codeium/mcp_config.json"),
    *_everywhere("zed", "zed/settings.json"),
)
"""Below a home folder."""

PROJECT_FILES: Final = (
    KnownFile("claude-code", ".mcp.json"),
    KnownFile("codex", ".codex/config.toml", "toml"),
    KnownFile("cursor", ".cursor/mcp.json"),
    KnownFile("gemini-cli", ".gemini/settings.json"),
    KnownFile("grok-build", ".grok/config.toml", "toml"),
    KnownFile("kilo-code", "kilo.json"),
    KnownFile("kiro-cli", ".kiro/settings/mcp.json"),
    KnownFile("mcporter", "config/mcporter.json"),
    KnownFile("opencode", "opencode.json"),
    KnownFile("opencode", "opencode.jsonc"),
    KnownFile("pi", ".pi/mcp.json"),
    KnownFile("roo-code", ".roo/mcp.json"),
    KnownFile("vscode", ".vscode/mcp.json"),
    KnownFile("zed", ".zed/settings.json"),
)
"""Below the folder of a project."""

CLIENTS: Final = tuple(sorted({each.client for each in (*HOME_FILES, *PROJECT_FILES)}))


def form_of_name(name: str) -> DocumentForm:
    """The form of a file that somebody named, by its ending."""
    if name.endswith(".toml"):
        return "toml"
    return "yaml" if name.endswith((".yaml", ".yml")) else "json"


def known_file(path: str) -> KnownFile:
    """Which client a named file is of, by how its path ends; "" where none is known."""
    plain = path.replace("\\", "/")
    for each in (*HOME_FILES, *PROJECT_FILES):
        if plain.endswith("/" + each.path):
            return each
    return KnownFile("", path, form_of_name(plain))
