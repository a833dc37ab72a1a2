"""A server changed in place: what is not named stays, and nothing is carried elsewhere unseen."""

import pytest
from msgspec.structs import replace

from gatelodge.core.catalog.bounds import DefinitionBounds
from gatelodge.core.catalog.server import ArtifactTransport, HttpTransport, Server, StdioTransport
from gatelodge.core.errors import Conflict, Invalid
from gatelodge.flows.admin import grants, servers
from gatelodge.flows.admin.definitions.edits import ServerEdit, edited
from gatelodge.flows.admin.definitions.proposals import ServerProposal, description_digest
from gatelodge.flows.admin.definitions.stars import starred, unstarred

URL = "https://git.example.com/mcp"
WEB = HttpTransport(url=URL, headers={"Authorization": "Bearer s3cret", "X-Team": "blue"})
THEIRS = {"KEY": "vault:theirs"}
RUN = StdioTransport(command=("/opt/a",), env={"KEY": "s3cret"})
IMAGE = f"sha256:{'a' * 64}"
HELD = ArtifactTransport(source="npm:one@1.0.0", image=IMAGE, env={"KEY": "s3cret"})
PIPE = StdioTransport(command=("/bin/cat", "-u"), env={"TOKEN": "env:TOKEN", "A": "1"}, cwd="/srv")


def edit(act, workspace, server, wish):
    row = act.the(Server, workspace=workspace, id=server)
    return servers.revise(act, workspace, server, edited(act, row, wish))


def widely(act, workspace, server, wish):
    """Edit where the settings allow some commands and packages to whoever edits."""
    bounds = DefinitionBounds(commands=("/opt/*",), sources=("npm:**",))
    return edit(replace(act, bounds=bounds), workspace, server, wish)


def stands(house, transport, alias="git"):
    made = house.do(servers.register, house.workspace, alias, ServerProposal(transport=transport))
    house.do(servers.approve, house.workspace, made.id)
    house.leaves()
    return made


def test_what_is_not_named_stays_with_its_id_and_its_grants(house):
    made = stands(house, PIPE)
    grant = house.do(grants.create, house.workspace, everyone=True, server="git")
    changed = house.do(
        edit, house.workspace, made.id, ServerEdit(command=("/bin/tac",), env={"A": None, "B": "2"})
    )
    assert changed.id == made.id
    assert changed.transport == StdioTransport(
        command=("/bin/tac",), env={"TOKEN": "env:TOKEN", "B": "2"}, cwd="/srv"
    )
    assert changed.status == "proposed"
    kinds = [kind for kind, _ in house.leaves()]
    assert kinds[-2:] == ["server.disabled", "server.registered"]
    assert (
        house.do(lambda act: act.the(type(grant), workspace=house.workspace, id=grant.id)) == grant
    )


def test_times_change_at_once_and_want_no_new_approval(house):
    made = stands(house, WEB)
    changed = house.do(
        edit, house.workspace, made.id, ServerEdit(call_seconds=90, longest_seconds=600)
    )
    assert changed.status == "approved"
    assert (changed.timing.call_seconds, changed.timing.start_seconds) == (90, 0)
    told = {"server": made.id, "call_ms": 90_000, "longest_ms": 600_000, "start_ms": 0}
    assert house.leaves() == [("server.time_limits_changed", told)]
    house.do(edit, house.workspace, made.id, ServerEdit(call_seconds=90))
    assert house.leaves() == []


def test_what_is_not_what_was_shown_any_more_is_not_changed(house):
    made = stands(house, WEB)
    shown = description_digest(made)
    house.do(edit, house.workspace, made.id, ServerEdit(tags=("a",), description=shown))
    for meanwhile in (ServerEdit(call_seconds=90), ServerEdit(headers={"X-Team": "red"})):
        now = house.do(edit, house.workspace, made.id, ServerEdit(era="modern"))
        shown = description_digest(now)
        house.do(edit, house.workspace, made.id, meanwhile)
        house.leaves()
        with pytest.raises(Conflict, match="not what was shown"):
            house.do(edit, house.workspace, made.id, ServerEdit(era="auto", description=shown))
        assert house.leaves() == []


def test_a_command_makes_it_a_process_and_a_url_an_endpoint(house):
    made = stands(house, WEB)
    process = house.do(edit, house.workspace, made.id, ServerEdit(command=("/bin/cat",)))
    assert process.transport == StdioTransport(command=("/bin/cat",))
    endpoint = house.do(edit, house.workspace, made.id, ServerEdit(url=URL))
    assert endpoint.transport == HttpTransport(url=URL)


@pytest.mark.parametrize(
    ("transport", "wish"),
    [
        (WEB, ServerEdit(env={"A": "1"})),
        (WEB, ServerEdit(cwd="/")),
        (PIPE, ServerEdit(headers={"A": "1"})),
        (PIPE, ServerEdit(allow_private=True)),
        (PIPE, ServerEdit(command=("/bin/cat",), url=URL)),
        (PIPE, ServerEdit(command=())),
        (PIPE, ServerEdit(cwd="relative")),
        (WEB, ServerEdit(url="ftp://x")),
        (WEB, ServerEdit(headers={"X": "Bearer ${A}"})),
    ],
)
def test_what_does_not_go_together_is_refused_and_nothing_changes(house, transport, wish):
    made = stands(house, transport)
    with pytest.raises(Invalid):
        house.do(edit, house.workspace, made.id, wish)
    assert house.leaves() == []


def test_values_that_an_admin_never_saw_go_to_no_other_place(house):
    admin = house.member("ada", "admin")
    made = stands(house, WEB)
    evil = "https://evil.example.com/mcp"
    for wish in (ServerEdit(url=evil), ServerEdit(url=evil, headers={"X-Team": "red"})):
        with pytest.raises(Invalid, match="another place"):
            house.do(edit, house.workspace, made.id, wish, by=admin)
    moved = ServerEdit(url=evil, headers={"X-Team": "red", "Authorization": None})
    changed = house.do(edit, house.workspace, made.id, moved, by=admin)
    assert changed.transport.headers == {"X-Team": "red"}
    same = house.do(
        edit, house.workspace, made.id, ServerEdit(url="https://evil.example.com/v2"), by=admin
    )
    assert same.transport.headers == {"X-Team": "red"}


def test_a_command_that_the_settings_allow_gets_no_value_given_for_another(house):
    admin = house.member("ada", "admin")
    for made, wish in (
        (stands(house, RUN), ServerEdit(command=("/opt/b",))),
        (stands(house, replace(RUN, cwd="/srv"), "git2"), ServerEdit(cwd="")),
    ):
        with pytest.raises(Invalid, match="another place"):
            house.do(widely, house.workspace, made.id, wish, by=admin)


@pytest.mark.parametrize(
    ("more", "wish"),
    [
        # A file, as a variable, may say where the others are sent; the same name in both is two.
        ({}, ServerEdit(files={"CONF": "vault:mine"})),
        ({}, ServerEdit(files={"KEY": "vault:mine"})),
        ({"files": {"CONF": "vault:theirs"}}, ServerEdit(files={"CONF": "vault:mine"})),
        ({}, ServerEdit(env={"API_BASE": "vault:mine"})),
        ({"env": {"KEY": "s3cret", "A": "1"}}, ServerEdit(env={"A": ""})),
        ({}, ServerEdit(port=8080)),
        ({"port": 8080}, ServerEdit(path="/debug")),
    ],
)
def test_what_may_steer_values_that_were_typed_is_refused_while_they_stay(house, more, wish):
    admin, made = house.member("ada", "admin"), stands(house, replace(HELD, **more))
    with pytest.raises(Invalid, match="KEY was given for another place"):
        house.do(widely, house.workspace, made.id, wish, by=admin)


@pytest.mark.parametrize(
    "wish",
    [
        ServerEdit(env={"SECOND": "vault:mine"}),
        ServerEdit(files={"CONF": "vault:mine"}),
        ServerEdit(image=f"sha256:{'b' * 64}"),
    ],
)
def test_a_secret_of_the_vault_may_go_where_whoever_may_name_it_says(house, wish):
    admin, made = house.member("ada", "admin"), stands(house, replace(HELD, env=THEIRS))
    changed = house.do(widely, house.workspace, made.id, wish, by=admin)
    assert changed.transport.env["KEY"] == "vault:theirs"


def test_stars_of_an_export_stand_for_files_as_for_variables(house):
    made = stands(house, replace(HELD, env={}, files={"CONF": "s3cret"}))
    wanted = ServerProposal(transport=starred(made.transport))
    assert unstarred(wanted, "git", made).transport == made.transport
    with pytest.raises(Invalid, match="stands for a value that is there"):
        unstarred(wanted, "git", None)
