"""Forms that change something: what was sent, and what came of it, told where it was typed.

A form works without JavaScript: it is sent to its own path, and answered with the page that it
stands on, or with another place where the change is done.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from litestar import Request, Response
from litestar.response import Redirect
from msgspec import Struct

from gatelodge.core.errors import HouseError, Invalid, LimitReached, Unauthenticated
from gatelodge.flows.nouns.foreseen import DryRun
from gatelodge.flows.nouns.noun import Noun, NounVerb, VerbInput
from gatelodge.web import problems
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.api.nouns import body_type
from gatelodge.web.console.face import ROOT
from gatelodge.web.console.rendering import segment
from gatelodge.web.console.suggestions import NO_NAMES, SuggestedNames

Asked = Request[Any, Any, Any]
MOST_BYTES: Final = 262_144
"""Of one form: the longest holds a guardrail's text, or a digest for each of a server's tools."""
MOST_FIELDS: Final = 5_000
PREVIEW: Final = "preview"
"""What the button sends that only asks what would change."""
_DONE: Final = "done"
_SPOKEN: Final = {"for_seconds": "for", "why": "why", "until": "until"}

_FROM: Final = {
    "enable": "disabled",
    "disable": "approved",
    "resume": "suspended",
    "suspend": "active",
}
"""The status out of which a verb leads: in another one its form would change nothing."""


class SentForm(Struct, frozen=True):
    """What a form sent: each field's values, in their order."""

    fields: dict[str, tuple[str, ...]]

    def __repr__(self) -> str:
        """Nothing of it, wherever it is shown."""
        return "SentForm()"

    def text(self, name: str) -> str:
        """The first value of a field, without space around it; empty when it was not sent."""
        return self.fields.get(name, ("",))[0].strip()

    def whole(self, name: str) -> str:
        """The first value of a field as it was typed, its lines ending as ours do."""
        return self.fields.get(name, ("",))[0].replace("\r\n", "\n")

    def every(self, name: str) -> tuple[str, ...]:
        """Each value of a field."""
        return self.fields.get(name, ())

    @property
    def asks(self) -> bool:
        """True when it only asks what would change."""
        return self.text("do") == PREVIEW

    @property
    def typed(self) -> dict[str, str]:
        """What was typed, to be kept where the form is shown again."""
        return {name: values[0] for name, values in self.fields.items()}


class FormOutcome(Struct, frozen=True, kw_only=True):
    """What came of a form: a problem, or what it would change; what was typed is kept."""

    form: str = ""
    typed: Mapping[str, str] = {}
    problem: problems.ProblemDocument | None = None
    foreseen: DryRun | None = None

    def __repr__(self) -> str:
        """Nothing of what was typed, wherever it is shown."""
        return f"FormOutcome(form={self.form!r})"

    @property
    def status(self) -> int:
        """The status of the page that tells it."""
        return 200 if self.problem is None else self.problem.status


NOTHING: Final = FormOutcome()
Shows = Callable[[FormOutcome], Awaitable[Response[Any]]]


async def sent_form(request: Asked) -> SentForm:
    """Read what a form sent. Raises LimitReached for one of more bytes or fields than ours have.

    The framework's own parser keeps what it parsed for later, bodies and all, and counts no fields.
    """
    body = await request.body()
    if len(body) > MOST_BYTES:
        raise LimitReached("the form is too large", remedy="Use the command for that.")
    try:
        pairs = parse_qsl(
            body.decode("ascii", "replace"),
            keep_blank_values=True,
            errors="replace",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise LimitReached("the form has too many fields", remedy="Do it in parts.") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return SentForm({name: tuple(values) for name, values in found.items()})


async def answered(
    form: str, sent: SentForm, work: Callable[[], Awaitable[Response[Any]]], shows: Shows
) -> Response[Any]:
    """What `work` answers; a refusal is told at the form, with what was typed.

    Raises Unauthenticated: then the page is the sign-in.
    """
    try:
        return await work()
    except Unauthenticated:
        raise
    except HouseError as error:
        told = problems.problem(error)
        return await shows(FormOutcome(form=form, typed=sent.typed, problem=told))


async def answered_with_place(
    form: str, sent: SentForm, work: Callable[[], Awaitable[Any]], path: str, shows: Shows
) -> Response[Any]:
    """Lead to `path` when `work` did what a form says; what it would change is told at the form."""

    async def told() -> Response[Any]:
        found = await work()
        if isinstance(found, DryRun):
            return await shows(FormOutcome(form=form, typed=sent.typed, foreseen=found))
        return done(path, form)

    return await answered(form, sent, told, shows)


def done(path: str, what: str) -> Redirect:
    """Lead to a page that says that something is done: loaded again, it does nothing twice."""
    mark = "&" if "?" in path else "?"
    return Redirect(f"{path}{mark}{_DONE}={what}", status_code=303)


class FormField(Struct, frozen=True, kw_only=True):
    """One field of a form: how it is named, typed and explained.

    A `line` is a long text, and a `secret` is never written into a page again.
    """

    name: str
    label: str
    kind: Literal["text", "line", "choice", "check", "lines", "secret"]
    says: str = ""
    hint: str = ""
    choices: tuple[str, ...] = ()
    needed: bool = False
    value: str = ""
    names: tuple[str, ...] = ()
    """What it suggests; anything else can be written as well."""


class VerbForm(Struct, frozen=True, kw_only=True):
    """A form for one verb of a noun: where it is sent, and what came of it when it was.

    `more` are fields that few need; `elsewhere` is the command for what the form cannot do. `shown`
    are digests of what the page shows, by the fields that bear them.
    """

    name: str
    title: str
    path: str
    about: str
    fields: tuple[FormField, ...]
    tries: bool
    grave: bool
    outcome: FormOutcome
    more: tuple[FormField, ...] = ()
    elsewhere: str = ""
    shown: Mapping[str, str] = {}


def form_of_verb(
    verb: NounVerb,
    path: str,
    outcome: FormOutcome,
    title: str = "",
    suggested: SuggestedNames = NO_NAMES,
) -> VerbForm:
    """The form of a verb; what came of it stands in `outcome`, if it was this one that was sent."""
    mine = outcome if outcome.form == verb.name else NOTHING
    fields = [_field(each, mine.typed, suggested.of(verb, each)) for each in verb.inputs]
    if verb.why:
        fields.append(
            FormField(
                name="why",
                label="Why",
                kind="text",
                says="A ticket or a code; it stands in the log for good, so no names.",
                hint="OPS-123",
                needed=verb.why == "must",
                value=mine.typed.get("why", ""),
            )
        )
    return VerbForm(
        name=verb.name,
        title=title or verb.name.replace("-", " ").capitalize(),
        path=path,
        about=verb.about.partition("\n")[0],
        fields=tuple(fields),
        tries=verb.tries,
        grave=verb.removes or bool(verb.ends),
        outcome=mine,
    )


def untold_problem(
    outcome: FormOutcome, forms: Sequence[VerbForm]
) -> problems.ProblemDocument | None:
    """The problem of a form that stands nowhere on the page: it is told above all others."""
    told = any(each.outcome.problem for each in forms)
    return None if told else outcome.problem


def home_of(place: WorkspaceContext) -> str:
    """The path below which the pages of a workspace stand."""
    return f"{ROOT}/w/{segment(place.workspace.slug)}"


def forms_of_row(
    noun: Noun[Any],
    place: WorkspaceContext,
    name: str,
    outcome: FormOutcome,
    status: str = "",
    suggested: SuggestedNames = NO_NAMES,
) -> list[VerbForm]:
    """The forms that the reader may use on a row of that status, where it has one."""
    base = f"{home_of(place)}/{noun.plural}/{segment(name)}"
    return [
        form_of_verb(verb, f"{base}/{verb.name}", outcome, suggested=suggested)
        for verb in noun.verbs
        if not verb.makes
        and place.caller.may(verb.act)
        and (not status or _FROM.get(verb.name, status) == status or outcome.form == verb.name)
        and (status != "revoked" or outcome.form == verb.name)
    ]


def forms_of_list(
    noun: Noun[Any],
    place: WorkspaceContext,
    outcome: FormOutcome,
    suggested: SuggestedNames = NO_NAMES,
) -> list[VerbForm]:
    """The forms that the reader may use to make a row."""
    path = f"{home_of(place)}/{noun.plural}"
    return [
        form_of_verb(verb, path, outcome, f"{verb.name.capitalize()} {noun.name}", suggested)
        for verb in noun.verbs
        if verb.makes and place.caller.may(verb.act)
    ]


def body_of_form(noun: Noun[Any], verb: NounVerb, sent: SentForm) -> Any:
    """What a verb is given, made of what a form sent. Raises Invalid."""
    given: dict[str, Any] = {}
    for each in verb.inputs:
        text = sent.text(each.name)
        if each.type is bool:
            given[each.name] = bool(text)
        elif text or each.needed:
            read = each.wording.read
            given[each.name] = text if read is None else read(text)
    if verb.why:
        given["why"] = sent.text("why")
    try:
        return msgspec.convert(given, body_type(noun, verb), strict=False)
    except msgspec.ValidationError as fault:
        raise Invalid(f"the form: {fault}", remedy="Correct it, and send it again.") from None


def _field(given: VerbInput, typed: Mapping[str, str], names: tuple[str, ...]) -> FormField:
    default = "" if given.needed or given.default is None else str(given.default)
    value = typed.get(given.name, "" if typed and given.type is bool else default)
    says = given.by.says if given.by else given.wording.says
    choices = get_args(given.type) if get_origin(given.type) is Literal else ()
    return FormField(
        name=given.name,
        label=_SPOKEN.get(given.name, given.name.replace("_", " ")).capitalize(),
        kind="check" if given.type is bool else "choice" if choices else "text",
        says=says,
        hint=given.by.word if given.by else given.wording.word,
        choices=choices,
        needed=given.needed,
        value="" if value == "False" else value,
        names=names,
    )
