"""Values of secrets, set and erased on the page of their secret, as the admin API does it."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Response, post

from gatelodge.flows.vault.secrets import secret
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.parameters import Here, Named
from gatelodge.web.api.rules import secrets as api
from gatelodge.web.console.forms import (
    Asked,
    FormOutcome,
    SentForm,
    answered_with_place,
    home_of,
    sent_form,
)
from gatelodge.web.console.rendering import segment
from gatelodge.web.console.screens.rows import row_page

_SETS = {"act": ("secret.set", "secret.own")}
_shows = row_page(secret)


@post("/secrets/{name:str}/value", opt=_SETS, status_code=200)
async def set_value(place: Here, name: Named, request: Asked) -> Response[Any]:
    """Seal a value that was typed once."""
    sent = await sent_form(request)

    async def work() -> None:
        value = api.NewValue(value=sent.whole("value"), **_holder(sent))
        await api.set_value.fn(place, name, value)

    return await _answered(place, name, sent, "set", work)


@post("/secrets/{name:str}/erase", opt=_SETS, status_code=200)
async def erase_value(place: Here, name: Named, request: Asked) -> Response[Any]:
    """Erase one value; what was started with it ends."""
    sent = await sent_form(request)

    async def work() -> None:
        await api.unset_value.fn(place, name, **_holder(sent))

    return await _answered(place, name, sent, "unset", work)


def _holder(sent: SentForm) -> dict[str, Any]:
    """Whose value is meant, as the gate is asked."""
    return {
        "member": sent.text("member"),
        "agent": sent.text("agent"),
        "own": bool(sent.text("own")),
        "looks": bool(sent.text("looks")),
    }


async def _answered(
    place: WorkspaceContext,
    name: str,
    sent: SentForm,
    form: str,
    work: Callable[[], Awaitable[None]],
) -> Response[Any]:
    async def shows(told: FormOutcome) -> Response[Any]:
        return await _shows(place, name, told)

    path = f"{home_of(place)}/secrets/{segment(name)}"
    return await answered_with_place(form, sent, work, path, shows)


ROUTES = (set_value, erase_value)
