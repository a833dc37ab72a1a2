import sqlite3

import msgspec
import pytest
from tests.unit.admin.conftest import KEYS, PEPPER

from gatelodge.adapters.keys.peppers import HmacPeppers
from gatelodge.core.errors import Conflict, Forbidden, Invalid
from gatelodge.core.people import Credential, Member, Workspace
from gatelodge.core.tokens import mint
from gatelodge.flows.admin import workspaces
from gatelodge.flows.identity.authenticate import credential_of_header
from gatelodge.flows.identity.keys import enrolled

OLGA = "olga@example.com"


def credentials(house):
    return {row.digest: row for row in house.find(Credential, workspace=house.workspace)}


def test_the_first_start_makes_a_workspace_an_owner_and_a_token_that_opens(empty):
    founded = empty.do(workspaces.start, empty.peppers, KEYS, OLGA, by="system")
    empty.workspace = founded.workspace.id
    assert (founded.workspace.slug, founded.owner.role) == ("main", "owner")
    header = b"Bearer " + founded.token.encode()
    found = credential_of_header(credentials(empty), empty.peppers, header)
    assert (found.principal, found.kind) == (founded.owner.id, "personal")
    assert found.expires_at - found.created_at == 90 * 86_400_000_000


def test_the_first_start_tells_its_keys_and_ids_but_no_person(empty):
    founded = empty.do(workspaces.start, empty.peppers, KEYS, OLGA, by="system")
    leaves = empty.whole_leaves()
    workspace, owner = founded.workspace.id, founded.owner.id
    assert [(leaf["t"], leaf["subject"]) for leaf in leaves] == [
        ("key.enrolled", {"keys": KEYS}),
        ("workspace.created", {"workspace": workspace, "slug": "main"}),
        ("member.added", {"member": owner, "role": "owner"}),
        (
            "token.issued",
            {
                "token": founded.credential.id,
                "principal": owner,
                "kind": "personal",
                "generation": 0,
                "expires_at": "2027-02-16T11:06:40.000000Z",
            },
        ),
    ]
    assert {leaf["by"] for leaf in leaves} == {"system"}
    told = msgspec.json.encode(leaves).decode()
    for secret in ("olga", "Olga", "Ohm", founded.token, founded.credential.digest):
        assert secret not in told


def test_the_enrolled_keys_are_read_back_from_the_leaves(house):
    leaves = house._portal.call(house.store.poll, 0).leaves
    assert enrolled(leaves) == KEYS


def test_a_house_is_started_once(house):
    with pytest.raises(Conflict):
        house.do(workspaces.start, house.peppers, KEYS, OLGA, by="system")


@pytest.mark.guarantee("secrets:stay-here")
def test_no_byte_of_a_token_is_in_any_file_of_the_store(house):
    tokens = [house.token]
    for path in house.directory.iterdir():
        content = path.read_bytes()
        for token in tokens:
            for part in (token, token[5:48], token[10:40]):
                assert part.encode() not in content
    assert (house.directory / "gatelodge.db-wal").stat().st_size > 0


def test_a_credential_row_planted_without_the_pepper_opens_nothing(house):
    token = mint("personal", b"\x11" * 32)
    thief = HmacPeppers({"1": b"\x08" * 32})
    with sqlite3.connect(house.directory / "gatelodge.db") as raw:
        raw.execute(
            "INSERT INTO credentials SELECT 'crd_planted', workspace, principal, kind, label, ?,"
            " pepper, last4, generation, created_at, expires_at, NULL, '' FROM credentials",
            (thief.digest(token),),
        )
    raw.close()
    rows = credentials(house)
    assert any(row.id == "crd_planted" for row in rows.values())
    header = b"Bearer " + token.encode()
    assert credential_of_header(rows, HmacPeppers({"1": PEPPER}), header) == "unknown"
    assert credential_of_header(rows, thief, header).id == "crd_planted"


def test_a_further_workspace_has_its_own_owner_and_shows_nothing_of_the_first(house):
    founded = house.do(workspaces.create, house.peppers, "lab", "The Lab", OLGA)
    assert house.find(Member, workspace=founded.workspace.id) == [founded.owner]
    assert len(house.find(Workspace)) == 2


@pytest.mark.parametrize("slug", ["", "Main", "1st", "a b", "a" * 33, "main\n", "ä"])
def test_a_slug_that_cannot_stand_in_a_url_is_refused(house, slug):
    with pytest.raises(Invalid):
        house.do(workspaces.create, house.peppers, slug, "X", OLGA)


def test_a_slug_that_is_taken_is_refused(house):
    with pytest.raises(Conflict):
        house.do(workspaces.create, house.peppers, "main", "X", OLGA)


def test_only_an_operator_founds_workspaces(house):
    with pytest.raises(Forbidden):
        house.do(workspaces.create, house.peppers, "lab", "X", OLGA, by=house.owner)
