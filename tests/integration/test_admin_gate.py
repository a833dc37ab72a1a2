"""What the admin API asks of a caller inside the transaction that changes something."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from gatelodge.app.build import OpenResources, lay
from gatelodge.app.node import wire
from gatelodge.config.schema import Settings
from gatelodge.core.errors import Unauthenticated
from gatelodge.core.people import Credential, Group, Member, Workspace
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin import groups, members, tokens
from gatelodge.web.api.context import LOCAL, AdminCaller, AdminContext

pytestmark = pytest.mark.anyio
OPERATOR = AdminCaller(by=LOCAL)


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[OpenResources]:
    made = await lay(Settings(data_dir=str(tmp_path / "data")))
    yield made
    await made.close()


@pytest.fixture
async def gate(ground: OpenResources) -> AdminContext:
    return wire(ground).admin


async def owner(gate: AdminContext) -> tuple[Workspace, Member, Credential, AdminCaller]:
    (place,) = await gate.read(lambda tx: tx.find(Workspace))
    (member,) = await gate.read(lambda tx: tx.find(Member, workspace=place.id))
    (token,) = await gate.read(lambda tx: tx.find(Credential, workspace=place.id))
    caller = AdminCaller(by=member.id, role="owner", workspace=place.id, credential=token.id)
    return place, member, token, caller


@pytest.mark.parametrize("ends", ["token", "role", "member", "generation", "time"])
async def test_who_lost_access_after_the_door_changes_nothing(
    gate: AdminContext, ends: str
) -> None:
    place, member, token, caller = await owner(gate)

    def end(act: GovernanceAct) -> None:
        if ends == "token":
            tokens.revoke(act, token)
            return
        if ends == "time":
            act.tx.put(msgspec.structs.replace(token, expires_at=act.at))
            act.record("member.role_changed", place.id, member=member.id)
            return
        changed = {
            "role": {"role": "auditor"},
            "member": {"status": "suspended"},
            "generation": {"generation": 7},
        }[ends]
        act.tx.put(msgspec.structs.replace(member, **changed))
        act.record("member.role_changed", place.id, member=member.id)

    await gate.change(caller, lambda act: groups.create(act, place.id, "before"))
    await gate.change(OPERATOR, end)
    with pytest.raises(Unauthenticated):
        await gate.change(caller, lambda act: groups.create(act, place.id, "after"))
    rows = await gate.read(lambda tx: tx.find(Group, workspace=place.id))
    assert [each.name for each in rows] == ["before"]


async def test_a_rehearsal_tells_every_leaf_and_keeps_nothing(gate: AdminContext) -> None:
    place, _, _, caller = await owner(gate)
    before = await gate.store.load(None, None)

    def work(act: GovernanceAct) -> None:
        newcomer = "ada@example.test"
        members.add(act, place.id, newcomer)
        groups.create(act, place.id, "crew")

    told = await gate.rehearse(caller, work, "")
    assert [each.what for each in told.changes] == ["member.added", "group.created"]
    assert await gate.store.load(None, None) == before


async def test_without_a_following_node_the_view_is_compiled_when_it_is_asked_for(
    gate: AdminContext,
) -> None:
    place, member, _, caller = await owner(gate)
    assert not gate.fresh()
    assert set((await gate.present()).principals) == {member.id}
    await gate.change(
        caller,
        lambda act: members.add(act, place.id, "b@example.test"),
    )
    assert len((await gate.present()).principals) == 2
