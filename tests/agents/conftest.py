"""One gate for all agents: a server with three tools, of which each member may see two."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.gate import Gate
from tests.stage import Place, Servers
from tests.upstreams.http_upstream import HttpUpstream, Talk, Tool

READ = "the lamp is lit"
RULE = (
    '@reason("nobody sits in the dark") @advice("Wait for the morning.") '
    'forbid (principal, action, resource == Gatelodge::Tool::"{}/quench")'
    ' when {{ context.now > datetime("1970-01-01T00:00:00Z") }};'
)
DENIAL = "nobody sits in the dark. What to do: Wait for the morning."


def _says(text: str) -> Tool:
    def answer(talk: Talk) -> None:
        talk.result({"content": [{"type": "text", "text": text}]})

    return answer


def _lamp() -> HttpUpstream:
    """A server with a tool that only reads, one that does not, and one that nobody here may see."""
    tools = {"read": _says(READ), "quench": _says("it is dark"), "break": _says("it is broken")}
    definitions: list[dict[str, Any]] = [
        {"name": name, "description": "A lamp.", "inputSchema": {"type": "object"}}
        for name in tools
    ]
    definitions[0]["annotations"] = {"readOnlyHint": True}
    return HttpUpstream(definitions=definitions, tools=tools)


class House(Place):
    """The gate's first workspace."""

    guests = 0

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.gate.port}{self.path}"

    def guest(self) -> tuple[str, str]:
        """A member of their own for one test: email and token."""
        self.guests += 1
        name = f"guest{self.guests}"
        return f"{name}@example.test", self.admit(name)

    def records(self, email: str) -> list[dict[str, Any]]:
        """What is on record of a member, oldest first, without what `admit` left."""
        found = self.api("GET", "/audit/tail?limit=200")["items"]
        return [record for record in found if record["who"] == email][1:]


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The gate, furnished."""
    servers = Servers()
    lamp = servers.open(_lamp())
    gate = Gate(tmp_path_factory.mktemp("agents") / "gate", "audit.sequence_ms=50")
    try:
        with gate.running():
            made = House(gate, "main", gate.token)
            made.serve("lamp", lamp.url)
            for tool in ("read", "quench"):
                made.grant(everyone=True, server="lamp", tool=tool, level="all")
            ident = made.api("GET", "/servers/lamp")["id"]
            made.api("POST", "/guardrails", {"name": "light", "text": RULE.format(ident)})
            yield made
    finally:
        servers.close()
