"""What agents' own clients send, step by step, each answered with what that client needs.

The sequences were recorded from the programs themselves as they listed and called tools through a
gate: Claude Code 2.1.330 and 2.1.197, Codex 0.169.0, Gemini CLI 0.61.0, mcp-remote 0.15.1. They are
shortened where a step only repeats; nothing here runs those programs.
"""

import json

import pytest
from tests.integration.clients.agent import Agent, walk

pytestmark = pytest.mark.slow

NOW = {"name": "time__get_current_time", "arguments": {"timezone": "UTC"}}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
CHANGED = "notifications/tools/list_changed"
WELL_KNOWN = [
    "/.well-known/oauth-protected-resource/k/main/mcp",
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-authorization-server/k/main/mcp",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration/k/main/mcp",
    "/.well-known/openid-configuration",
    "/k/main/mcp/.well-known/openid-configuration",
    "/k/main/mcp/.well-known/oauth-protected-resource",
    "/k/main/.well-known/oauth-protected-resource",
]
CLAUDE = {
    "name": "claude-code",
    "title": "Claude Code",
    "description": "Anthropic's agentic coding tool",
    "websiteUrl": "https://claude.com/claude-code",
}


class Claude(Agent):
    """Claude Code 2.1.330: 2026-07-28, with Mcp-Method but Mcp-Name only where it is due."""

    def message(self, number: int | str, method: str, **params: object) -> dict[str, object]:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {**CLAUDE, "version": "2.1.330"},
            "io.modelcontextprotocol/clientCapabilities": {
                "roots": {"listChanged": True},
                "elicitation": {"form": {}, "url": {}},
            },
        }
        params["_meta"] = {**meta, **params.get("_meta", {})}
        return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}

    def ask(self, number, method, params, **more):
        return self.post(self.message(number, method, **params), mcp_method=method, **more)


def claude(house, token) -> Claude:
    agent = "claude-code/2.1.330 (sdk-cli)"
    return Claude(house, token, mcp_protocol_version="2026-07-28", user_agent=agent)


def test_claude_code_of_the_modern_era(house):
    email, token = house.guest()
    with claude(house, token) as agent:
        found = agent.ask("server-discover-probe-1", "server/discover", {}).json
        assert found["id"] == "server-discover-probe-1"
        assert found["result"]["supportedVersions"] == ["2026-07-28"]
        assert found["result"]["capabilities"]["tools"] == {"listChanged": True}
        wanted = agent.message(
            "listen:0", "subscriptions/listen", notifications={"toolsListChanged": True}
        )
        with agent.listen(wanted, mcp_method="subscriptions/listen") as stream:
            told = json.loads(stream.event())
            assert told["method"] == "notifications/subscriptions/acknowledged"
            assert told["params"]["notifications"] == {"toolsListChanged": True}
            tag = {"io.modelcontextprotocol/subscriptionId": "listen:0"}
            assert told["params"]["_meta"] == tag
            assert len(walk(lambda params: agent.ask(0, "tools/list", params))) == 2
            meta = {"claudecode/toolUseId": "toolu_01A", "progressToken": 6}
            called = agent.ask(6, "tools/call", {**NOW, "_meta": meta}, mcp_name=NOW["name"])
            assert called.json["result"]["structuredContent"]["timezone"] == "UTC"
            house.grant(member=email, server="git", level="all")
            told = json.loads(stream.event())
            assert (told["method"], told["params"]["_meta"]) == (CHANGED, tag)
        assert len(walk(lambda params: agent.ask(7, "tools/list", params))) == 14


def test_claude_code_with_a_bad_token_finds_no_hint_of_oauth(house):
    with claude(house, "gtlp_none") as agent:
        tried = [agent.ask("server-discover-probe-1", "server/discover", {})]
        del agent.always["mcp-protocol-version"]
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLAUDE}
        tried.append(
            agent.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello})
        )
        for refused in tried:
            assert refused.status == 401
            assert refused.headers["www-authenticate"].startswith("Bearer realm=")
            assert "resource_metadata" not in refused.headers["www-authenticate"]


def test_claude_code_of_the_legacy_era(house):
    email, token = house.guest()
    name = "claude-code/2.1.197 (sdk-cli)"
    with Agent(house, token, user_agent=name) as agent:
        can = {"roots": {}, "elicitation": {}}
        hello = {"clientInfo": {**CLAUDE, "version": "2.1.197"}, "capabilities": can}
        opened = agent.initialize("2025-11-25", **hello)
        assert opened["protocolVersion"] == "2025-11-25"
        agent.session["mcp-protocol-version"] = "2025-11-25"
        assert agent.post(INITIALIZED).status == 202
        with agent.stream() as stream:
            assert len(walk(lambda params: agent.post(listing(params)))) == 2
            meta = {"claudecode/toolUseId": "toolu_01A", "progressToken": 7}
            called = agent.post(calling(7, _meta=meta))
            assert called.json["result"]["structuredContent"]["timezone"] == "UTC"
            house.grant(member=email, server="git", level="all")
            assert json.loads(stream.event()) == {"jsonrpc": "2.0", "method": CHANGED}


def test_codex(house):
    with Agent(house, house.ada, user_agent="codex-mcp-client/0.169.0") as agent:
        hello = {"name": "codex-mcp-client", "title": "Codex", "version": "0.169.0"}
        can = {"elicitation": {"form": {}, "url": {}}}
        opened = agent.initialize("2025-06-18", clientInfo=hello, capabilities=can)
        assert opened["protocolVersion"] == "2025-06-18"
        agent.session["mcp-protocol-version"] = "2025-06-18"
        either = "text/event-stream, application/json"
        assert agent.post(INITIALIZED, accept=either).status == 202
        with agent.stream(accept=either) as stream:

            def ask(params):
                return agent.post(listing({**params, "_meta": {"progressToken": 0}}), accept=either)

            # Forms and pages are declared: what both servers add for any client that can be asked.
            assert len(walk(ask)) == 46
            thread = "01a205c4-be57-7373-9aa9-ea3e1b630ccf"
            turn = {"session_id": thread, "model": "gpt-5", "sandbox": "seccomp"}
            meta = {
                "callId": "call_1",
                "x-codex-turn-metadata": turn,
                "threadId": thread,
                "sessionId": thread,
                "windowId": f"{thread}:0",
                "itemId": "f1",
                "progressToken": 6,
            }
            called = agent.post(calling(7, _meta=meta), accept=either)
            assert called.json["result"]["isError"] is False
            assert agent.send("DELETE", agent.path, {"accept": "*/*"}).status == 200
            assert stream.is_over()
            assert stream.is_closed()
        assert agent.post(listing({})).status == 404


def test_gemini_cli_names_no_revision_after_its_handshake(house):
    with Agent(house, house.ben, "/k/main/s/time/mcp", user_agent="node") as agent:
        hello = {"name": "gemini-cli-mcp-client", "version": "0.61.0"}
        opened = agent.initialize("2025-06-18", clientInfo=hello)
        assert opened["protocolVersion"] == "2025-06-18"
        assert agent.post(INITIALIZED).status == 202
        with agent.stream():
            assert agent.post(listing({})).json["result"]["tools"][0]["name"] == "get_current_time"
            meta = {"progressToken": "dca73124-206d-42be-ad65-41248d4cf34a"}
            called = agent.post(calling(2, name="get_current_time", _meta=meta))
            assert called.json["result"]["structuredContent"]["timezone"] == "UTC"


def test_mcp_remote_looks_for_oauth_and_events_first_and_opens_twice(house):
    with Agent(house, house.ben, user_agent="undici") as agent:
        early = agent.send("GET", agent.path, {"accept": "application/json, text/event-stream"})
        assert early.status == 400
        for path in WELL_KNOWN:
            answer = agent.stranger(path)
            assert answer.status == 404, path
            assert {"location", "www-authenticate"}.isdisjoint(answer.headers), path
            assert "authorization" not in answer.body.decode(), path
        trial = {"name": "mcp-remote-fallback-test", "version": "0.0.0"}
        agent.initialize("2025-11-25", clientInfo=trial)
        agent.session["mcp-protocol-version"] = "2025-11-25"
        assert agent.post(INITIALIZED, mcp_method="notifications/initialized").status == 202
        with agent.stream():
            agent.session = {}
            real = {"name": "claude-ai (via mcp-remote 0.15.1)", "version": "0.1.0"}
            agent.initialize("2025-11-25", clientInfo=real)
            agent.session["mcp-protocol-version"] = "2025-11-25"
            assert agent.post(INITIALIZED, mcp_method="notifications/initialized").status == 202
            with agent.stream():
                listed = agent.post(listing({}), mcp_method="tools/list")
                assert len(listed.json["result"]["tools"]) == 2
                called = agent.post(calling(3), mcp_method="tools/call", mcp_name=NOW["name"])
                assert called.json["result"]["isError"] is False


@pytest.mark.parametrize("revision", ["2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28", ""])
def test_a_get_without_a_session_is_answered_at_once(house, revision):
    named = {"mcp-protocol-version": revision} if revision else {}
    with Agent(house, house.ben) as agent:
        answer = agent.send("GET", agent.path, {"accept": "text/event-stream", **named})
        assert answer.status == (405 if revision == "2026-07-28" else 400)
        stranger = agent.stranger(agent.path)
        assert stranger.status == 401
        assert stranger.headers["www-authenticate"] == 'Bearer realm="gatelodge"'


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:{}", "http://localhost:{}", 200),
        ("127.0.0.1:{}", "http://127.0.0.1:{}", 200),
        ("localhost:{}", "http://LOCALHOST:{}", 200),
        ("localhost:{}", "http://localhost:1", 403),
        ("localhost:{}", "http://localhost", 403),
        ("localhost:{}", "localhost:{}", 403),
        ("localhost:{}", "null", 403),
        ("localhost:{}", "http://evil.example", 403),
        ("evil.example", "http://evil.example", 403),
        ("evil.example:{}", "http://evil.example:{}", 403),
    ],
)
def test_a_browser_may_come_from_the_gates_own_address_only(house, host, origin, status):
    port = house.gate.port
    named = {"host": host.format(port), "origin": origin.format(port)}
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}}
    opening = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
    with Agent(house, house.ben) as agent:
        assert agent.post(opening, **named).status == status


def listing(params):
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}


def calling(number, **params):
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {**NOW, **params}}
