"""Agents: list, let in, suspend, resume, hand over, revoke."""

from litestar import get, post
from msgspec import Struct

from gatelodge.core.people import Agent, Member
from gatelodge.flows.act import Act
from gatelodge.flows.admin import agents
from gatelodge.flows.identity.revocation import Receipt
from gatelodge.ports.store import Tx
from gatelodge.web.api import named
from gatelodge.web.api.gate import Place, Rehearsal
from gatelodge.web.api.given import Asks, Flag, Here, JSONBody, Limits, Named
from gatelodge.web.api.pages import PAGE, Asked, Page, page
from gatelodge.web.api.people.shapes import AgentShape, Why, agent_shape


class NewAgent(Struct, frozen=True, forbid_unknown_fields=True):
    """An agent, and the member (e-mail address) who answers for it."""

    name: str
    owner: str


class NewOwner(Struct, frozen=True, forbid_unknown_fields=True):
    """The member (e-mail address) who is to answer for an agent."""

    owner: str


@get("/agents", opt={"act": "agent.read"})
async def listed(place: Here, limit: Limits = PAGE, cursor: Asks = "") -> Page[AgentShape]:
    """List the agents, those that left too, oldest first."""

    def look(tx: Tx) -> tuple[list[Agent], dict[str, str]]:
        people = tx.find(Member, workspace=place.id)
        return agents.listed(tx, place.id), {row.id: row.email for row in people}

    rows, emails = await place.gate.read(look)
    return page(
        rows,
        lambda row: row.id,
        lambda row: agent_shape(row, emails[row.owner]),
        Asked(limit, cursor),
    )


@post("/agents", opt={"act": "agent.add"})
async def add(place: Here, data: JSONBody[NewAgent]) -> AgentShape:
    """Let an agent in."""

    def work(act: Act) -> AgentShape:
        owner = named.member(act.tx, place.id, data.owner)
        return agent_shape(agents.add(act, place.id, data.name, owner.id), owner.email)

    return await place.gate.change(place.caller, work)


@get("/agents/{who:str}", opt={"act": "agent.read"})
async def show(place: Here, who: Named) -> AgentShape:
    """Show one agent, by id or name."""
    return await place.gate.read(lambda tx: _shape(tx, named.agent(tx, place.id, who)))


@post("/agents/{who:str}/suspend", opt={"act": "agent.suspend"}, status_code=200)
async def suspend(place: Here, who: Named, data: JSONBody[Why]) -> Receipt:
    """Shut an agent out until resumed; answers when it holds on every node."""
    row = await _named(place, who)

    def work(act: Act) -> tuple[str, ...]:
        agents.suspend(act, place.id, row.id)
        return ()

    return await place.gate.end(place.caller, ("suspend", row.id, place.id), data.why, work)


@post("/agents/{who:str}/resume", opt={"act": "agent.resume"}, status_code=200)
async def resume(place: Here, who: Named, data: JSONBody[Why]) -> AgentShape:
    """Let a suspended agent in again."""
    row = await _named(place, who)
    return await place.gate.change(
        place.caller,
        lambda act: _shape(act.tx, agents.resume(act, place.id, row.id)),
        data.why,
    )


@post("/agents/{who:str}/owner", opt={"act": "agent.hand_over"}, status_code=200)
async def hand_over(place: Here, who: Named, data: JSONBody[NewOwner]) -> Receipt:
    """Let another member answer for an agent; its tokens end, since the old owner knows them."""
    row = await _named(place, who)

    def work(act: Act) -> tuple[str, ...]:
        owner = named.member(act.tx, place.id, data.owner)
        return agents.hand_over(act, place.id, row.id, owner.id).credentials

    return await place.gate.end(place.caller, ("hand_over", row.id, place.id), "", work)


@post("/agents/{who:str}/revoke", opt={"act": "agent.revoke"}, status_code=200)
async def revoke(
    place: Here, who: Named, data: JSONBody[Why], *, dry_run: Flag = False
) -> Receipt | Rehearsal:
    """End an agent's access for good; answers when it holds on every node."""
    row = await _named(place, who)

    def work(act: Act) -> tuple[str, ...]:
        return agents.leave(act, place.id, row.id).ids

    if dry_run:
        return await place.gate.rehearse(place.caller, work, data.why)
    return await place.gate.end(place.caller, ("agent", row.id, place.id), data.why, work)


async def _named(place: Place, who: str) -> Agent:
    return await place.gate.read(lambda tx: named.agent(tx, place.id, who))


def _shape(tx: Tx, row: Agent) -> AgentShape:
    return agent_shape(row, named.member(tx, row.workspace, row.owner).email)


ROUTES = (listed, add, show, suspend, resume, hand_over, revoke)
