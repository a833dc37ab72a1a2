"""Values of secrets: set, replaced, erased, put under another root. None is ever answered."""

from collections.abc import Callable
from functools import partial

from litestar import Response, delete, get, post
from msgspec import Struct

from gatelodge.core.errors import Invalid
from gatelodge.core.vault.secret import LARGEST_VALUE, SealedValue, VaultSecret
from gatelodge.flows.act import GovernanceAct
from gatelodge.flows.admin.definitions import adoption
from gatelodge.flows.admin.definitions.edits import ServerEdit
from gatelodge.flows.nouns import lookup
from gatelodge.flows.vault import rewrap, secrets, values
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.authentication import LOCAL_ONLY
from gatelodge.web.api.context import AdminCaller, WorkspaceContext
from gatelodge.web.api.parameters import Asks, Flag, Here, JSONBody, Named
from gatelodge.web.api.rules.servers import change_server

_SETS = ("secret.set", "secret.own")


class NewValue(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value, and whose: a `member`'s (e-mail), an `agent`'s (name), one's `own`, or everybody's.

    `looks` = the one with which the gate looks at servers, where each has a value of their own.
    With `rotate` only in place of another one, with `new` only where there is no such secret.
    """

    value: str
    member: str = ""
    agent: str = ""
    own: bool = False
    looks: bool = False
    rotate: bool = False
    new: bool = False

    def __repr__(self) -> str:
        """Nothing of it, wherever it is shown."""
        return "NewValue()"


class VaultState(Struct, frozen=True, kw_only=True):
    """The root of the vault, and how many `values` are here; `elsewhere` are under another root.

    Where it is not `reached`, `detail` says why and `remedy` what to do.
    """

    root: str
    reached: bool
    detail: str
    remedy: str
    values: int
    elsewhere: int


class AdoptionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which values move: those that look secret by their name, or `every` one."""

    every: bool = False
    dry_run: bool = False


class AdoptedSecret(Struct, frozen=True):
    """Where a value stood (`part` is env, files or headers), and what it is called now."""

    server: str
    part: str
    name: str
    secret: str


class AdoptedSecrets(Struct, frozen=True, kw_only=True):
    """What moved into the vault, or would."""

    dry_run: bool
    adopted: tuple[AdoptedSecret, ...]


class RewrappedValues(Struct, frozen=True):
    """How many values are under the present root now that were under another one."""

    rewrapped: int


@post(
    "/secrets/{name:str}/value",
    opt={"act": _SETS, "noun": "secrets", "operation": "set"},
    status_code=200,
)
async def set_value(
    place: Here, name: Named, data: JSONBody[NewValue]
) -> Response[secrets.SecretShape]:
    """Set or replace a value of a secret; one that is not there yet is made with it."""
    put = await _sealed(place, name, data)

    def work(act: GovernanceAct) -> secrets.SecretShape:
        return _shape_of_secret(act.tx, put(act).name, place)

    made = await place.gate.change(place.caller, work)
    return Response(made, headers={"cache-control": "no-store"}, status_code=200)


async def set_for_server(
    place: WorkspaceContext, name: str, data: NewValue, alias: str, wish: ServerEdit
) -> None:
    """Set a value, and change the server that is to name it: both in one change, or neither."""
    put = await _sealed(place, name, data)

    def work(act: GovernanceAct) -> None:
        put(act)
        change_server(act, place, alias, wish)

    await place.gate.change(place.caller, work)


@delete(
    "/secrets/{name:str}/value",
    opt={"act": _SETS, "noun": "secrets", "operation": "unset"},
    status_code=200,
)
async def unset_value(
    place: Here,
    name: Named,
    *,
    member: Asks = "",
    agent: Asks = "",
    own: Flag = False,
    looks: Flag = False,
) -> secrets.SecretShape:
    """Erase one value of a secret; what was started with it ends."""
    whose = values.ValueHolder(member=member, agent=agent, own=own, looks=looks)

    def work(act: GovernanceAct) -> secrets.SecretShape:
        row = lookup.secret(act.tx, place.id, name)
        values.erase_value(act, row, whose, _caller_of_secrets(place.caller))
        return _shape_of_secret(act.tx, row.name, place)

    return await place.gate.change(place.caller, work)


@post(
    "/vault/rewrap",
    opt={"act": "secret.set", "noun": "secrets", "operation": "rewrap"},
    status_code=200,
)
async def rewrap_values(place: Here) -> RewrappedValues:
    """Put every value of the workspace under the root of the settings; asked again, it goes on."""
    gate, done = place.gate, 0
    while True:
        found = await gate.read(lambda tx: rewrap.values_left(tx, place.id, gate.vault.root))
        if not found:
            return RewrappedValues(done)
        moved = tuple([await rewrap.rewrapped(each, gate.vault) for each in found])
        done += await gate.change(place.caller, partial(rewrap.keep_rewrapped, moved=moved))


@post(
    "/vault/adopt",
    opt={"act": LOCAL_ONLY, "noun": "secrets", "operation": "adopt"},
    status_code=200,
)
async def adopt_typed(place: Here, data: JSONBody[AdoptionRequest]) -> AdoptedSecrets:
    """Move values that were typed into the definitions of servers into the vault.

    Nothing has to be approved again: the servers are given what they were given before. The
    operator's alone: what the operator typed into one server, an admin could name in another then.
    """
    gate, every = place.gate, data.every
    found = await gate.read(lambda tx: adoption.typed_secrets(tx, place.id, every=every))
    told = tuple(
        AdoptedSecret(each.server.alias, each.part, each.name, each.secret) for each in found
    )
    if found and not data.dry_run:
        sealed = [
            (each, await gate.vault.seal(each.value, adoption.place_of_typed(each).context))
            for each in found
        ]
        await gate.change(place.caller, partial(adoption.adopt_typed, sealed=sealed))
    return AdoptedSecrets(dry_run=data.dry_run, adopted=told)


@get("/vault", opt={"act": "secret.read", "noun": "secrets", "operation": "vault"})
async def vault_state(place: Here) -> VaultState:
    """Whether the root of the vault can be used now, and what is not under it yet."""
    gate = place.gate
    values = await gate.read(lambda tx: tx.find(SealedValue, workspace=place.id))
    fault = await rewrap.root_fault(gate.vault, place.id)
    return VaultState(
        root=gate.vault.root,
        reached=fault is None,
        detail="" if fault is None else fault.detail,
        remedy="" if fault is None else fault.remedy,
        values=len(values),
        elsewhere=sum(each.root != gate.vault.root for each in values),
    )


async def _sealed(
    place: WorkspaceContext, name: str, data: NewValue
) -> Callable[[GovernanceAct], VaultSecret]:
    """What puts a value into the vault within a change. Raises as the change would."""
    _check_value(data.value)
    gate, caller = place.gate, _caller_of_secrets(place.caller)
    whose = values.ValueHolder(member=data.member, agent=data.agent, own=data.own, looks=data.looks)

    def find_place(tx: StoreTx) -> values.ValuePlace:
        if data.new:
            values.check_new(tx, place.id, name)
        return values.place_of(tx, place.id, name, whose, caller)

    # Sealed before the transaction begins: the root may be a service that takes its time.
    where = await gate.read(find_place)
    parts = await gate.vault.seal(data.value, where.context)
    size = len(data.value.encode())

    def put(act: GovernanceAct) -> VaultSecret:
        # Found anew: whose it is, and whether they may, could have changed since.
        values.check_place(where, find_place(act.tx))
        return values.put_value(act, where, parts, size, known=data.rotate)

    return put


def _shape_of_secret(tx: StoreTx, name: str, place: WorkspaceContext) -> secrets.SecretShape:
    row = lookup.secret(tx, place.id, name)
    return secrets.shapes(tx, [row], place.showing)[0]


def _caller_of_secrets(caller: AdminCaller) -> values.SecretCaller:
    member = "" if caller.local else caller.by
    return values.SecretCaller(member=member, every=caller.may("secret.set"))


def _check_value(value: str) -> None:
    """Raise Invalid for what no server can be given; the value is not named."""
    octets = value.encode(errors="replace")
    if not value or "\0" in value or octets.decode() != value:
        raise Invalid("value: it is empty, holds a NUL character, or is no text")
    if len(octets) > LARGEST_VALUE:
        raise Invalid(f"value: it is larger than {LARGEST_VALUE // 1024} KiB")


ROUTES = (set_value, unset_value, rewrap_values, adopt_typed, vault_state)
