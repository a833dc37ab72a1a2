"""The agents' programs as npm installs them: how each is told of a gate and a model, and run once.

Each is given what docs/clients.md tells its users to write, a HOME of its own, and only what it
needs of the environment. Its way to any other host is the model, which keeps a list.
"""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

from tests.agents.model import Model
from tests.conformance.suite import NODE
from tests.gate import ROOT

HERE = Path(__file__).parent
PACKAGES = json.loads((HERE / "package.json").read_text())["dependencies"]
PAGE = ROOT / "docs/clients.md"
PRINTED = "https://gate.example.com/k/main/mcp"
LONGEST = 45.0
"""No run takes longer, in seconds; a usual one takes two."""


class Ended:
    """How a run ended: the exit code, both outputs, and the agent's last words."""

    def __init__(self, code: int, output: str, errors: str) -> None:
        self.code = code
        self.output = output
        self.errors = errors
        self.said = ""

    def __repr__(self) -> str:
        return f"exit code {self.code}\n{self.output[-3000:]}\n{self.errors[-3000:]}"


class Program:
    """One agent; `script` is what its package runs, `speaks` the revision that it chooses."""

    heading: str
    package: str
    script: str
    client: str
    speaks: str
    complaint: str
    """What it says of a server that does not let it in."""

    def __init__(self, place: Path) -> None:
        self.home = place / "home"
        self.work = place / "work"
        for made in (self.home, self.work, place / "tmp"):
            made.mkdir()
        self.path = HERE / "node_modules" / self.package / self.script
        assert NODE.exists(), "run `npm ci` in tests/conformance"
        assert self.path.exists(), "run `npm ci` in tests/agents"

    @property
    def named(self) -> str:
        """What it calls itself, with its version."""
        return f"{self.client}/{PACKAGES[self.package]}"

    def manual(self, url: str) -> str:
        """The file that docs/clients.md has for this agent, for the gate at this URL."""
        _, _, part = PAGE.read_text().partition(f"\n## {self.heading}\n")
        found = re.search(r"(?ms)^```\w+\n(.*?)^```", part)
        assert found, f"nothing for {self.heading}"
        assert PRINTED in found[1], found[1]
        return found[1].replace(PRINTED, url)

    def settle(self, url: str, model: Model) -> dict[str, str]:
        """Write its files; what it needs of the environment."""
        raise AssertionError

    def arguments(self) -> list[str]:
        """Its command line, for one question that nobody is there to be asked about."""
        raise AssertionError

    def last_words(self, output: str) -> str:
        """What it answered."""
        raise AssertionError

    def run(self, url: str, token: str, model: Model) -> Ended:
        """Run it with the gate at this URL, to its end."""
        env = {
            "HOME": str(self.home),
            "TMPDIR": str(self.home.parent / "tmp"),
            "PATH": f"{NODE.parent}:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "GATE_TOKEN": token,
            **dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), model.url),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
            **self.settle(url, model),
        }
        command = [str(NODE), str(self.path), *self.arguments()]
        ended = _run(command, self.work, env)
        ended.said = self.last_words(ended.output)
        return ended


class Claude(Program):
    """Claude Code."""

    heading = "Claude Code"
    package = "@anthropic-ai/claude-code"
    script = "cli-wrapper.cjs"
    client = "claude-code"
    speaks = "2026-07-28"
    complaint = '"mcp_servers":[{"name":"gate","status":"failed"'

    def settle(self, url: str, model: Model) -> dict[str, str]:
        (self.work / ".mcp.json").write_text(self.manual(url))
        return {
            "ANTHROPIC_BASE_URL": model.url,
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "ENABLE_TOOL_SEARCH": "false",  # tools are shown to the model at once
        }

    def arguments(self) -> list[str]:
        server = ["--mcp-config", ".mcp.json", "--strict-mcp-config", "--allowedTools", "mcp__gate"]
        return ["-p", "look", *server, "--output-format", "stream-json", "--verbose"]

    def last_words(self, output: str) -> str:
        return str(json.loads(output.splitlines()[-1])["result"])


class Codex(Program):
    """Codex, which calls what its user would have to be asked about: `approves`."""

    heading = "Codex"
    package = "@openai/codex"
    script = "bin/codex.js"
    client = "codex-mcp-client"
    speaks = "2025-06-18"
    complaint = "required MCP servers failed to initialize: gate:"
    approves = True
    features = ("plugins = false", "apps = false")

    def settle(self, url: str, model: Model) -> dict[str, str]:
        lines = [
            'model = "gpt-5"',
            'model_provider = "loopback"',
            'approval_policy = "never"',
            "check_for_update_on_startup = false",
            "analytics.enabled = false",
            "feedback.enabled = false",
            'otel.metrics_exporter = "none"',
            "[model_providers.loopback]",
            'name = "loopback"',
            f'base_url = "{model.url}/v1"',
            'wire_api = "responses"',
            'env_key = "MODEL_KEY"',
            "[features]",
            *self.features,
            self.manual(url),
            "required = true",
        ]
        if self.approves:
            lines.append('default_tools_approval_mode = "approve"')
        (self.home / ".codex").mkdir()
        (self.home / ".codex/config.toml").write_text("\n".join(lines))
        return {"MODEL_KEY": "none"}

    def arguments(self) -> list[str]:
        return ["exec", "--skip-git-repo-check", "--strict-config", "--json", "look"]

    def last_words(self, output: str) -> str:
        items = [told.get("item", {}) for told in map(json.loads, output.splitlines())]
        said = [item["text"] for item in items if item.get("type") == "agent_message"]
        return said[-1] if said else ""


class CodexModern(Codex):
    """Codex with the newest revision, which it has behind a switch."""

    speaks = "2026-07-28"
    features = (*Codex.features, "mcp_2026_07_28 = true")


class Gemini(Program):
    """Gemini CLI."""

    heading = "Gemini CLI"
    package = "@google/gemini-cli"
    script = "bundle/gemini.js"
    client = "gemini-cli-mcp-client"
    speaks = "2025-06-18"
    complaint = "MCP server 'gate' requires authentication"

    def settle(self, url: str, model: Model) -> dict[str, str]:
        quiet = {
            "privacy": {"usageStatisticsEnabled": False},
            "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
            "security": {"auth": {"selectedType": "gemini-api-key"}},
        }
        (self.home / ".gemini").mkdir()
        settings = {**json.loads(self.manual(url)), **quiet}
        settings["mcpServers"]["gate"]["trust"] = True
        (self.home / ".gemini/settings.json").write_text(json.dumps(settings))
        return {"GOOGLE_GEMINI_BASE_URL": model.url, "GEMINI_API_KEY": "none"}

    def arguments(self) -> list[str]:
        alone = ["--skip-trust", "--debug", "--output-format", "json"]
        return [*alone, "--model", "gemini-2.5-pro", "--prompt", "look"]

    def last_words(self, output: str) -> str:
        return str(json.loads(output)["response"])


EVERY = (Claude, Codex, CodexModern, Gemini)


def _run(command: list[str], work: Path, env: dict[str, str]) -> Ended:
    """Run a command with all that it starts, and end what it leaves."""
    process = subprocess.Popen(
        command,
        cwd=work,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            output, errors = process.communicate(timeout=LONGEST)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            told = Ended(-1, *process.communicate())
            raise AssertionError(f"not done after {LONGEST} s: {told}") from None
    return Ended(process.returncode, output, errors)
