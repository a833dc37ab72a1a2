"""A token is issued on a page: it stands in that one answer, and nowhere else.

It ends with the session, as each token does with the one that it was issued with: whoever takes a
session's cookie gets no token that outlives it.
"""

from typing import Any, Final

from litestar import Response, post

from gatelodge.web.api.parameters import Here
from gatelodge.web.api.people import tokens as api
from gatelodge.web.console.forms import Asked, FormOutcome, answered, sent_form
from gatelodge.web.console.rendering import page
from gatelodge.web.console.screens.lists import LISTS, list_page

_SCREEN: Final = next(each for each in LISTS if each.path == "tokens")


@post("/tokens", opt={"act": ("token.issue", "token.own")}, status_code=200)
async def issue(place: Here, request: Asked) -> Response[Any]:
    """Issue a token, and show it once."""
    sent = await sent_form(request)

    async def work() -> Response[Any]:
        wanted = api.NewToken(
            member=sent.text("member"),
            agent=sent.text("agent"),
            label=sent.text("label"),
        )
        # The answer of a form is kept by no browser (`no-store`), and a link to it shows nothing.
        issued = (await api.issue.fn(place, wanted)).content
        return page("issued.html", place, "tokens", issued=issued)

    async def shows(outcome: FormOutcome) -> Response[Any]:
        return await list_page(_SCREEN, place, outcome=outcome)

    return await answered("issue", sent, work, shows)


ROUTES = (issue,)
