import pytest

from gatelodge.core.catalog.server import (
    ArtifactTransport,
    HttpTransport,
    Server,
    StdioTransport,
    Tool,
)
from gatelodge.core.errors import Conflict, Invalid, NotFound
from gatelodge.core.policy.rules import Grant
from gatelodge.flows.admin import grants, servers, tools

BEFORE_EXCEPTIONS = "cf4d4d03b77a9022bc502a4ab0fe6ada492b6c46c02ed0a9c0dda004c3078b18"
URL = "https://git.example.com/mcp"


def proposal(**words):
    transport = HttpTransport(**words) if "url" in words else StdioTransport(**words)
    return servers.ServerProposal(transport=transport)


@pytest.fixture
def server(house):
    made = house.do(servers.register, house.workspace, "git", proposal(url=URL)).id
    house.leaves()
    return made


def test_a_server_is_proposed_first_and_reached_only_after_approval(house):
    made = house.do(servers.register, house.workspace, "git", proposal(url=URL))
    approved = house.do(servers.approve, house.workspace, made.id)
    house.do(servers.approve, house.workspace, made.id)
    assert (made.status, approved.status) == ("proposed", "approved")
    digest = servers.fingerprint(made.transport)
    assert house.leaves() == [
        (
            "server.registered",
            {
                "server": made.id,
                "alias": "git",
                "tags": [],
                "transport_sha256": digest,
                "hidden_capabilities": [],
            },
        ),
        ("server.approved", {"server": made.id, "transport_sha256": digest}),
    ]


@pytest.mark.parametrize("alias", ["", "Git", "1git", "git_hub", "a" * 21, "a\n", "-a", "g\u0131t"])
def test_an_alias_that_cannot_start_a_tools_name_is_refused(house, alias):
    with pytest.raises(Invalid):
        house.do(servers.register, house.workspace, alias, proposal(url=URL))


def test_an_alias_is_taken_once_and_free_after_removal(house, server):
    with pytest.raises(Conflict):
        house.do(servers.register, house.workspace, "git", proposal(url=URL))
    house.do(servers.remove, house.workspace, server)
    assert house.do(servers.register, house.workspace, "git", proposal(url=URL)).id != server


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ({"command": ()}, "command"),
        ({"command": ("",)}, "command"),
        ({"command": ("a", "b\0c")}, "command"),
        ({"command": ("a",), "cwd": "relative"}, "cwd"),
        ({"command": ("a",), "env": {"A=B": "x"}}, "env"),
        ({"command": ("a",), "env": {"": "x"}}, "env"),
        ({"command": ("a",), "env": {"A": "x\0"}}, "env"),
        ({"url": ""}, "url"),
        ({"url": "git.example.com/mcp"}, "url"),
        ({"url": "http://git.example.com/mcp"}, "url"),
        ({"url": "ftp://git.example.com/"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https:///mcp"}, "url"),
        ({"url": "https://user:pw@git.example.com/"}, "url"),
        ({"url": "https://git.example.com/#x"}, "url"),
        ({"url": "https://git.example.com:99999/"}, "url"),
        ({"url": "https://[::1/"}, "url"),
        ({"url": "https://git.example.com/a b"}, "url"),
        ({"url": "https://git.example.com/\r\nX: y"}, "url"),
        ({"url": URL, "headers": {"X Y": "v"}}, "headers"),
        ({"url": URL, "headers": {"X": "v\r\nY: z"}}, "headers"),
        ({"url": URL, "headers": {"Host": "other"}}, "headers"),
        ({"url": URL, "headers": {"mcp-session-id": "x"}}, "headers"),
        ({"url": URL, "headers": {"Content-Length": "1"}}, "headers"),
    ],
)
def test_a_word_that_could_mean_something_else_is_refused_by_its_place(house, words, place):
    with pytest.raises(Invalid) as caught:
        house.do(servers.register, house.workspace, "git", proposal(**words))
    assert caught.value.detail.startswith(place)
    assert "pw" not in caught.value.detail


def test_an_address_of_ones_own_may_be_plain_http_when_an_admin_says_so(house):
    mine = proposal(url="http://127.0.0.1:9000/mcp", allow_private=True)
    assert house.do(servers.register, house.workspace, "mine", mine).transport.allow_private


def test_a_revised_server_has_to_be_approved_again_and_is_cut_at_once(house, server):
    house.do(servers.approve, house.workspace, server)
    house.leaves()
    changed = house.do(
        servers.revise, house.workspace, server, proposal(url="https://new.example.com/mcp")
    )
    assert changed.status == "proposed"
    assert [t for t, _ in house.leaves()] == ["server.disabled", "server.registered"]
    house.do(servers.revise, house.workspace, server, proposal(url="https://new.example.com/mcp"))
    assert house.leaves() == []


def test_what_is_hidden_of_clients_is_told_to_the_log_and_wants_a_new_approval(house, server):
    house.do(servers.approve, house.workspace, server)
    house.leaves()
    wish = servers.ServerProposal(
        transport=HttpTransport(url=URL), hidden_capabilities=("sampling", "roots", "sampling")
    )
    changed = house.do(servers.revise, house.workspace, server, wish)
    assert (changed.status, changed.hidden_capabilities) == ("proposed", ("roots", "sampling"))
    told = [(t, body.get("hidden_capabilities")) for t, body in house.leaves()]
    assert told == [("server.disabled", None), ("server.registered", ["roots", "sampling"])]


def test_a_disabled_server_keeps_its_tools_and_grants(house, server):
    house.do(servers.approve, house.workspace, server)
    house.do(tools.take_stock, house.workspace, server, [b'{"name":"log"}'])
    house.do(grants.create, house.workspace, everyone=True, server=server)
    house.leaves()
    house.do(servers.disable, house.workspace, server)
    house.do(servers.disable, house.workspace, server)
    assert house.leaves() == [("server.disabled", {"server": server})]
    assert house.find(Tool, workspace=house.workspace)
    assert house.find(Grant, workspace=house.workspace)


def test_a_removed_server_takes_its_tools_and_grants_with_it(house, server):
    house.do(tools.take_stock, house.workspace, server, [b'{"name":"log"}'])
    grant = house.do(grants.create, house.workspace, everyone=True, server=server).id
    house.leaves()
    assert house.do(servers.remove, house.workspace, server).grants == (grant,)
    assert house.leaves() == [
        ("grant.revoked", {"grant": grant}),
        ("server.removed", {"server": server}),
    ]
    assert house.find(Tool, workspace=house.workspace) == []
    assert house.find(Server, workspace=house.workspace) == []


def test_a_server_of_another_workspace_does_not_exist_here(house, server):
    for change in (servers.approve, servers.disable, servers.remove):
        with pytest.raises(NotFound):
            house.do(change, "wsp_other", server)


@pytest.mark.guarantee("secrets:stay-here")
def test_what_the_log_keeps_of_a_transport_depends_on_no_secret():
    def digest(**words):
        return servers.fingerprint(proposal(**words).transport)

    assert digest(url=URL, headers={"X-Key": "one"}) == digest(url=URL, headers={"x-key": "two"})
    assert digest(url=URL + "?key=one") == digest(url=URL + "?key=two")
    assert digest(command=("a",), env={"K": "1"}) == digest(command=("a",), env={"K": "2"})
    assert digest(url=URL) != digest(url=URL + "x")
    assert digest(command=("a",)) != digest(command=("a", "b"))
    assert digest(command=("a",), env={"K": "1"}) != digest(command=("a",), env={"L": "1"})


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("GSD-2 Code", "gsd-2-code"),
        ("sequential_thinking", "sequential-thinking"),
        ("9git", "mcp-9git"),
        ("Größe", "groe"),
        ("检索", "server"),
        ("a" * 40, "a" * 20),
    ],
)
def test_a_name_that_is_no_alias_gets_one_proposed_that_is(house, name, alias):
    with pytest.raises(Invalid) as refused:
        house.do(servers.register, house.workspace, name, proposal(url=URL))
    assert f"Take {alias}." in refused.value.remedy
    assert house.do(servers.register, house.workspace, alias, proposal(url=URL)).alias == alias


def test_an_exception_for_scripts_changes_what_is_approved_and_nothing_else_does():
    def digest(**words):
        image = f"sha256:{'1' * 64}"
        return servers.fingerprint(ArtifactTransport(source="npm:tiny@1.0.0", image=image, **words))

    # As it was before there were exceptions: servers that are approved stay so.
    assert digest() == BEFORE_EXCEPTIONS
    assert digest(run_scripts=("a", "b")) == digest(run_scripts=("b", "a")) != digest()
