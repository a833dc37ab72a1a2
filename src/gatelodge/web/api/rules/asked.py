"""What a question about access is about: a moment, a principal, a tool or a server, by name.

A past moment is told by the gov log, which knows ids alone: people are named as they are now,
also those who left; servers as they were called then.
"""

from msgspec import Struct

from gatelodge.core.access.matrix import Kind
from gatelodge.core.errors import Forbidden, Invalid, NotFound
from gatelodge.core.ids import Instant, PrincipalId
from gatelodge.core.instant import parse_rfc3339
from gatelodge.core.people import folded
from gatelodge.core.policy.decision import Allow, Ask, Decision, Deny
from gatelodge.core.state import GovernanceState
from gatelodge.core.view import PolicyView
from gatelodge.core.view_entry import PrincipalEntry, ServerView, ToolEntry, WorkspaceView
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.record.filters import moment


class AccessMoment(Struct, frozen=True, kw_only=True):
    """A moment, the view that held then, and who bears which name now."""

    place: WorkspaceContext
    at: Instant
    view: PolicyView
    here: WorkspaceView
    present: GovernanceState
    past: bool

    def names(self) -> dict[str, str]:
        """What people call each principal and group of the workspace, by id."""
        state, home = self.present, self.place.id
        members = {str(row.id): row.email for row in state.members if row.workspace == home}
        agents = {str(row.id): row.name for row in state.agents if row.workspace == home}
        groups = {str(row.id): row.name for row in state.groups if row.workspace == home}
        return members | agents | groups | {"": "everyone"}

    def principal(self, text: str) -> PrincipalEntry:
        """Whom the text means among those who were active then: an id, e-mail or name.

        Raises NotFound.
        """
        found = self.view.principals.get(PrincipalId(text))
        # The view holds every workspace: an id of another one is told as one that is not there.
        if found is not None and found.workspace == self.place.id:
            return found
        state, wanted = self.present, folded(text)
        rows: list[str] = [each.id for each in state.members if each.email == wanted]
        rows += [each.id for each in state.agents if folded(each.name) == wanted]
        for ident in rows:
            entry = self.view.principals.get(PrincipalId(ident))
            if entry is not None and entry.workspace == self.place.id:
                return entry
        raise NotFound(
            f"nobody active {'was' if self.past else 'is'} called {text!r} here",
            remedy="See `gatelodge member list` and `gatelodge agent list`. Who left, or is "
            "suspended, has a past: `gatelodge access history NAME`, or `--at` a time when they "
            "were here.",
        )

    def principal_or_self(self, text: str) -> PrincipalEntry:
        """Whom a question is about; anybody but oneself and one's agents raises Forbidden.

        Somebody who may ask about themselves only learns nothing of whether others are here.
        """
        caller = self.place.caller
        if text == "me":
            text = caller.by
        if caller.may("access.read"):
            return self.principal(text)
        try:
            who = self.principal(text)
        except NotFound:
            who = None
        # Nobody and somebody else are told alike, or the answer would tell who is a member here.
        if who is None or caller.by not in {who.id, who.owner.id if who.owner else ""}:
            raise only_their_own()
        return who

    def tool(self, text: str) -> ToolEntry:
        """The tool SERVER/TOOL of an approved server. Raises NotFound."""
        alias, slash, name = text.partition("/")
        server = self.here.servers.get(alias)
        found = server.tools.get(name) if server and slash else self.here.tools.get(text)
        if found is None:
            raise no_tool(text)
        return found

    def server(self, text: str) -> ServerView:
        """The approved server of that alias. Raises NotFound."""
        found = self.here.servers.get(text)
        if found is None:
            raise no_server(text)
        return found


async def moment_of(place: WorkspaceContext, text: str) -> AccessMoment:
    """The present for an empty text, else the past moment that it names.

    Raises Invalid (no time, or one to come), NotFound (before the log or the workspace began).
    """
    present, now = await place.gate.present(), place.gate.clock.now()
    at, view = now, present
    if text:
        at = parse_rfc3339(moment(text, now))
        with place.gate.questions.by(place.caller.by):
            view = await place.gate.past.view(at, now)
    here = view.workspace(place.id)
    if here is None and text:
        raise NotFound("the workspace was not there yet", remedy="Name a later time.")
    if here is None:
        raise NotFound("this node's view does not know the workspace yet", retry_after=1.0)
    return AccessMoment(
        place=place, at=at, view=view, here=here, present=present.state, past=bool(text)
    )


def parse_kind(text: str) -> Kind:
    """What a question is about: tools, prompts or resources. Raises Invalid."""
    match text:
        case "tools" | "prompts" | "resources":
            return text
    raise Invalid(
        f"the kind {text!r} is not one of tools, prompts, resources",
        remedy="Leave it out to ask about tools.",
    )


def only_their_own() -> Forbidden:
    """The error for a question about somebody else, whoever that is."""
    return Forbidden(
        "this role may look at its own access only",
        remedy="Ask about yourself: `gatelodge access explain me SERVER/TOOL`.",
    )


def no_tool(text: str) -> NotFound:
    """The error for a tool that is not there, or that nobody may be told of."""
    return NotFound(
        f"no approved server has a tool {text!r}",
        remedy="Name it SERVER/TOOL; see `gatelodge tool list`.",
    )


def no_server(text: str) -> NotFound:
    """The error for a server that is not there, or that nobody may be told of."""
    return NotFound(f"no approved server is called {text!r}", remedy="See `gatelodge server list`.")


def decision_fields(decision: Decision) -> tuple[str, str, str, str]:
    """A decision as lists show it: the word, the rule, the reason and the advice."""
    match decision:
        case Allow(rule):
            return "allow", rule, "", ""
        case Ask(rule, _):
            return "ask", rule, "a person has to answer first", ""
        case Deny():
            return f"deny: {decision.reason}", decision.rule, decision.text, decision.advice
