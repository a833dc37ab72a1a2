"""Every client's own form is read into the same two servers."""

import pytest
from tests.unit.fleet.homes import FILES, TOKEN, WORD, write

from gatelodge.cli.fleet.finding import FleetSearch
from gatelodge.cli.fleet.known_files import CLIENTS
from gatelodge.cli.fleet.reading import SecretMarks, read_fleet
from gatelodge.core.fleet.entry import FoundSecret
from gatelodge.core.fleet.merge import server_key


def read(folder, **given):
    return read_fleet([folder], FleetSearch(**given), SecretMarks())


@pytest.mark.parametrize("client", sorted(FILES))
def test_a_clients_file_is_read_into_its_servers(tmp_path, client):
    write(tmp_path, *FILES[client])
    found = read(tmp_path)
    servers = {e.place.name: e for e in found.entries if not e.fault}
    assert sorted(servers) == ["tracker", "web"]
    assert {e.place.client for e in found.entries} == {client}
    tracker, web = servers["tracker"], servers["web"]
    assert tracker.launched.source == "npm:@a/tracker@1.2.3"
    assert web.launched.url == "https://mcp.example.com/mcp"
    secret = tracker.env["TRACKER_TOKEN"]
    assert isinstance(secret, FoundSecret)
    assert secret.length == len(TOKEN)
    header = web.headers["Authorization"]
    assert isinstance(header, FoundSecret)
    assert (header.length, header.before) == (len(WORD), "Bearer ")


def test_all_clients_of_one_person_have_the_same_two_servers(tmp_path):
    for path, text in FILES.values():
        write(tmp_path, path, text)
    found = read(tmp_path)
    assert len({server_key(e) for e in found.entries if not e.fault}) == 2
    assert {e.place.client for e in found.entries} == FILES.keys()
    assert FILES.keys() <= set(CLIENTS)


def test_one_client_alone_may_be_asked_for(tmp_path):
    for path, text in FILES.values():
        write(tmp_path, path, text)
    assert {e.place.client for e in read(tmp_path, client="zed").entries} == {"zed"}


def test_projects_of_a_home_are_found_by_their_files_and_by_the_clients_list(tmp_path):
    text = '{"mcpServers": {"a": {"command": "npx", "args": ["a@1.0.0"]}}}'
    write(tmp_path, "work/one/.mcp.json", text)
    write(tmp_path, "work/node_modules/two/.mcp.json", text)
    named = '{"a": {"command": "x"}, "b": {"command": "y"}}'
    project = f'{{"mcpServers": {named}, "disabledMcpServers": ["b"]}}'
    write(tmp_path, ".claude.json", '{"projects": {"/home/ada/x": ' + project + "}}")
    found = [(e.place.file, e.place.project, e.place.name, e.off) for e in read(tmp_path).entries]
    assert found == [
        (".claude.json", "/home/ada/x", "a", False),
        (".claude.json", "/home/ada/x", "b", True),
        ("work/one/.mcp.json", "", "a", False),
    ]
