"""What a member may put into a server's definition, and what only the operator may."""

import pytest

from gatelodge.core.catalog.bounds import DefinitionBounds
from gatelodge.core.catalog.references import half_reference, reference
from gatelodge.core.catalog.server import HttpTransport, StdioTransport
from gatelodge.core.errors import Forbidden, Invalid
from gatelodge.flows.admin import servers

URL = "https://git.example.com/mcp"
BOUNDS = DefinitionBounds(
    commands=("npx -y @acme/*", "/opt/mcp/* **"), secrets="/data/secrets", prefix="GATE_"
)


@pytest.fixture
def admin(house):
    return house.member("ada", "admin")


def stdio(*command, **words):
    return StdioTransport(command=command, **words)


def http(value, url=URL):
    return HttpTransport(url=url, headers={"Authorization": value})


@pytest.mark.parametrize(
    "transport",
    [
        stdio("/bin/sh"),
        stdio("npx", "-y", "other"),
        stdio("npx", "-y", "@acme/x", "--call", "sh"),
        stdio("/opt/mcp/git", run_as="gateway"),
        stdio("/opt/mcp/git", cwd="/etc"),
        stdio("/opt/mcp/git", env={"LD_PRELOAD": "/x.so"}),
        stdio("/opt/mcp/git", env={"Path": "/x"}),
        stdio("/opt/mcp/git", env={"NODE_OPTIONS": "--require=/x"}),
        stdio("/opt/mcp/git", env={"OPENSSL_CONF": "/x"}),
        stdio("/opt/mcp/git", env={"PERLLIB": "/x"}),
        stdio("/opt/mcp/git", env={"REQUESTS_CA_BUNDLE": "/x"}),
        stdio("/opt/mcp/git", env={"DOTNET_STARTUP_HOOKS": "/x"}),
        stdio("/opt/mcp/git", env={"TOKEN": "env:HOME"}),
        stdio("/opt/mcp/git", env={"TOKEN": "file:/data/keys/log"}),
        http("file:/data/keys/log"),
        http("Bearer file:/data/keys/log"),
        http("file:/data/secrets/main/../../keys/log"),
        http("file:/data/secrets/other/token"),
        http("file:/data/secrets/main"),
        http("env:HOME"),
        http("Bearer env:GATE_OTHER__TOKEN"),
        http("env:GATE_MAIN__OTHER__TOKEN"),
        http("env:GATE_MAIN__"),
        http("env:GATE_MAIN___TOKEN"),
    ],
)
def test_what_is_worth_more_than_a_role_is_the_operators(house, transport):
    assert BOUNDS.beyond(transport, "main")
    assert DefinitionBounds().beyond(transport, "main")
    operators = house.do(
        servers.register, house.workspace, "x", servers.ServerProposal(transport=transport)
    )
    assert operators.transport == transport


@pytest.mark.parametrize(
    "transport",
    [
        stdio("npx", "-y", "@acme/x"),
        stdio("/opt/mcp/git", "--repo", "/srv", env={"LOG_LEVEL": "debug", "GIT_TOKEN": "x"}),
        stdio("/opt/mcp/git", env={"TOKEN": "env:GATE_MAIN__TOKEN"}),
        http("Bearer file:/data/secrets/main/token"),
        http("Bearer plain"),
    ],
)
def test_what_the_settings_allow_is_allowed(transport):
    assert BOUNDS.beyond(transport, "main") == ""


def test_a_member_registers_and_changes_no_more_than_is_allowed(house, admin):
    command = servers.ServerProposal(transport=stdio("/bin/cat"))
    with pytest.raises(Forbidden, match="operator"):
        house.do(servers.register, house.workspace, "cat", command, by=admin)
    made = house.do(servers.register, house.workspace, "cat", command)
    tagged = servers.ServerProposal(transport=command.transport, tags=("x",))
    assert house.do(servers.revise, house.workspace, made.id, tagged, by=admin).tags == ("x",)
    other = servers.ServerProposal(transport=stdio("/bin/dog"))
    with pytest.raises(Forbidden):
        house.do(servers.revise, house.workspace, made.id, other, by=admin)
    assert house.do(servers.approve, house.workspace, made.id, by=admin).status == "approved"


def test_a_reference_that_the_operator_gave_is_not_taken_elsewhere(house, admin):
    given = servers.ServerProposal(transport=http("file:/etc/token"))
    made = house.do(servers.register, house.workspace, "web", given)
    elsewhere = servers.ServerProposal(
        transport=http("file:/etc/token", "https://evil.example.com/mcp")
    )
    with pytest.raises(Forbidden):
        house.do(servers.revise, house.workspace, made.id, elsewhere, by=admin)


def test_a_look_that_starts_what_nobody_approved_takes_an_owner_and_is_on_record(house, admin):
    made = house.do(
        servers.register,
        house.workspace,
        "cat",
        servers.ServerProposal(transport=stdio("/bin/cat")),
    )
    house.leaves()
    with pytest.raises(Forbidden):
        house.do(servers.look_at, house.workspace, made.id, by=admin)
    assert house.leaves() == []
    house.do(servers.look_at, house.workspace, made.id)
    assert [kind for kind, _ in house.leaves()] == ["server.process_started"]
    house.do(servers.approve, house.workspace, made.id)
    house.leaves()
    house.do(servers.look_at, house.workspace, made.id, by=admin)
    assert house.leaves() == []
    house.do(servers.disable, house.workspace, made.id)
    with pytest.raises(Forbidden):
        house.do(servers.look_at, house.workspace, made.id, by=admin)


@pytest.mark.parametrize(
    "value",
    [
        "env:",
        "env:A B",
        "env: A",
        "ENV:A",
        "file:relative",
        "file:",
        "Bearer env:",
        "Bearer file:x",
        "Basic user:env:A",
        "two words env:A",
        "${A}",
        "Bearer ${A}",
        "Bearer ${env:A}",
        "$A",
        "Bearer $A",
    ],
)
def test_what_looks_like_a_reference_and_is_none_is_refused_wherever_it_stands(house, value):
    assert half_reference(value)
    for transport in (http(value), stdio("/bin/cat", env={"A": value})):
        with pytest.raises(Invalid, match=r"refer|env:|file:") as caught:
            house.do(
                servers.register, house.workspace, "x", servers.ServerProposal(transport=transport)
            )
        assert "Bearer env:NAME" in caught.value.remedy


@pytest.mark.parametrize(
    "transport",
    [
        stdio("/bin/cat", "env:TOKEN"),
        stdio("/bin/cat", "--token=env:TOKEN"),
        stdio("/bin/cat", "--token=${TOKEN}"),
        HttpTransport(url=f"{URL}?key=env:TOKEN"),
        HttpTransport(url=f"{URL}?key=${{TOKEN}}"),
    ],
)
def test_where_none_is_read_a_reference_is_refused(house, transport):
    with pytest.raises(Invalid, match="reference"):
        house.do(
            servers.register, house.workspace, "x", servers.ServerProposal(transport=transport)
        )


@pytest.mark.parametrize(
    "value", ["", "Bearer abc", "text:env:A", "text:${A}", "pa$$word", "profile:x", "a:b", "5$"]
)
def test_any_other_text_is_a_text(value):
    assert half_reference(value) == ""
    assert reference(value) is None


@pytest.mark.parametrize(
    "more",
    [
        {"transport": HttpTransport(url=URL + "?" + "a" * 70_000)},
        {"transport": HttpTransport(url=URL, headers={f"x-{n}": "y" for n in range(600)})},
        {"transport": stdio("/opt/mcp/git", *("a" for _ in range(600)))},
        {"transport": stdio("/opt/mcp/git", env={"A": "b" * 70_000})},
        {"transport": HttpTransport(url=URL), "tags": tuple(map(str, range(65)))},
    ],
)
def test_no_definition_is_longer_than_anybody_needs(house, more):
    with pytest.raises(Invalid, match="at most"):
        house.do(servers.register, house.workspace, "x", servers.ServerProposal(**more))
