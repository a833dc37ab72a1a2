"""The revisions of MCP that this house speaks, and the names they gave to headers and `_meta` keys.

"Modern" means 2026-07-28: version, identity and capabilities on every request. "Legacy" means the
revisions with an `initialize` handshake (basic/versioning, revision 2026-07-28).
"""

from typing import Literal

Era = Literal["modern", "legacy"]

MODERN = "2026-07-28"
LEGACY = ("2025-11-25", "2025-06-18", "2025-03-26")
"""Legacy revisions that clients may speak to us, newest first."""
LEGACY_UPSTREAM = (*LEGACY, "2024-11-05")
"""Legacy revisions that an upstream may answer with; the first is the one offered to it."""
BATCHES = "2025-03-26"
"""The only revision with JSON-RPC batches."""

PARAM_HEADER = "Mcp-Param-"

META_PREFIX = "io.modelcontextprotocol/"
META_PROTOCOL_VERSION = "io.modelcontextprotocol/protocolVersion"
META_CLIENT_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
META_CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
META_LOG_LEVEL = "io.modelcontextprotocol/logLevel"
META_SERVER_INFO = "io.modelcontextprotocol/serverInfo"
META_SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
META_PROGRESS = "progressToken"

NAMED = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""Methods whose `Mcp-Name` header repeats a member of their params (2026-07-28 transports, Standard
Request Headers; tasks extension, Streamable HTTP: Routing Headers)."""

HEADER_MISMATCH = -32_020
MISSING_CAPABILITY = -32_021
UNSUPPORTED_VERSION = -32_022
MODERN_ERRORS = frozenset((HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION))
"""Error codes that only a modern server sends (basic/versioning)."""
