"""A noun is declared once: how its rows are found and shown, and the verbs that change them.

The routes of the admin API (`web/api/nouns.py`) and the commands (`cli/nouns.py`) follow from the
declaration. A verb is a plain function: its first parameter is the `Act`, its second the row that
it is about (or the workspace, where it makes one), and the others are what it is given. A noun that
needs something else writes a route of its own beside them.
"""

from collections.abc import Callable, Sequence
from inspect import Parameter, getdoc, signature
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    Protocol,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from msgspec import NODEFAULT, Struct, defstruct

from gatelodge.core.ids import Instant, ServerId, WorkspaceId
from gatelodge.core.state import Row
from gatelodge.ports.store import StoreTx
from gatelodge.ports.upstream import ServerHealth

R = TypeVar("R", bound=Row)
Run = TypeVar("Run", bound=Callable[..., Any])


class Wording(Struct, frozen=True):
    """Marks how a parameter is said in a command: `Annotated[str, Wording("What it is for.")]`.

    `word` stands for the value in the help. `option` is what it is called there, where that is not
    its name; `read` makes what is sent of what was written, or raises Invalid.
    """

    says: str = ""
    word: str = ""
    option: str = ""
    read: Callable[[str], Any] | None = None


class RowByName(Struct, frozen=True):
    """Marks a parameter that is a row, which people name: `Annotated[Member, By(...)]`.

    `find` gives the row that a name means, or raises NotFound. `word` stands for the name in the
    help, `says` what it is for. An `option` is named on the command line, though it is needed.
    """

    find: Callable[[StoreTx, WorkspaceId, str], Row]
    word: str
    says: str = ""
    option: bool = False


class VerbInput(Struct, frozen=True, kw_only=True):
    """One thing that a verb is given: its name, the type in which it is sent, and its help.

    `default` is NODEFAULT for what is needed.
    """

    name: str
    type: Any
    by: RowByName | None = None
    wording: Wording = Wording()
    default: Any = NODEFAULT

    @property
    def needed(self) -> bool:
        """True when it has no default."""
        return self.default is NODEFAULT


class NounVerb(Struct, frozen=True, kw_only=True):
    """One thing that can be done with a noun.

    `name` is how people write it (`add-member`), `act` what a role must allow. It `makes` a row, or
    is about one. `told` is said when it is done, over the inputs and the fields of the answer; or
    it makes the text of them. `asks` is asked first; whoever looks before they say yes does so with
    `look`. `check` raises Invalid for inputs that contradict each other, before the gate is asked.
    """

    name: str
    act: str
    run: Callable[..., Any]
    inputs: tuple[VerbInput, ...]
    answer: Any
    makes: bool
    removes: bool
    ends: str
    """The kind of access that ends with it: its answer is a receipt. Empty where none does."""
    why: Literal["", "may", "must"]
    """Whether it takes a ticket or a reason code, and whether a command has to say one."""
    about: str
    above: bool
    """It is about the row above its noun's, and is given the names of several below it."""
    rows: str
    """Under which name its answer has the rows that it returns; empty where it returns none."""
    asks: str
    look: str
    told: str | Callable[[dict[str, Any]], str]
    check: Callable[[Any], None]
    foreseen: bool
    """What it would change can be looked at first, though it takes nothing away for good."""

    @property
    def tries(self) -> bool:
        """True when it can be tried: what takes something away for good, and what is foreseen."""
        return self.removes or bool(self.ends and self.asks) or self.foreseen

    def words(self, tx: StoreTx, workspace: WorkspaceId, given: Any) -> dict[str, Any]:
        """The inputs as `run` takes them: names become rows. Raises NotFound, Invalid."""
        # Before any row is read: what contradicts itself gets one answer, whoever is here.
        self.check(given)
        found = {}
        for each in self.inputs:
            value = getattr(given, each.name)
            if each.by is not None:
                # In the verb's own transaction: a row that was found before may have ended since.
                # An empty name that is needed is looked up as well, and found to be nobody's.
                value = each.by.find(tx, workspace, value) if value or each.needed else None
            found[each.name] = value
        return found


class ShowContext(Struct, frozen=True, kw_only=True):
    """When rows are shown, to whom (what they `may`), and by a node that knows servers' health.

    `name_length` is how many characters the name of a tool may have that clients are shown.
    """

    at: Instant
    may: Callable[[str], bool]
    health: Callable[[ServerId], ServerHealth]
    name_length: int


class EndedIds(Protocol):
    """What a verb that ends access returns: everything that ended with it, by id."""

    @property
    def ids(self) -> tuple[str, ...]:
        """All of it in one row, for a receipt."""
        ...


def _as_it_is(_tx: StoreTx, rows: Sequence[R], _context: ShowContext) -> Sequence[R]:
    return rows


class Noun(Struct, Generic[R], eq=False):
    """One kind of row. `find` gives the row that a name means, `columns` are those of its list.

    `called` stands for its name in the help of commands. `name` is the row's, unless it is said.
    Rows that stand `below` those of another noun are found as ROW/NAME; a NAME may hold a slash, so
    it stands in the body or the query of a request, and the path ends in the verb. `empty_below` is
    told of a row that has none below it.
    """

    row: type[R]
    plural: str
    find: Callable[[StoreTx, WorkspaceId, str], R]
    called: str
    about: str
    columns: tuple[str, ...]
    empty: str
    name: str = ""
    below: "Noun[Any] | None" = None
    empty_below: str = ""
    listing: str = ""
    """What its list says of itself in the help of commands."""
    verbs: list[NounVerb] = []
    shape: Any = None
    """What the outside sees of a row in a list; the row itself, unless it is said."""
    whole: Any = None
    """What it sees of one row; None where that is the same."""
    show: Callable[[StoreTx, Sequence[R], ShowContext], Sequence[Any]] = _as_it_is
    """Rows, of which there is at least one, as whoever looks sees them."""
    show_detail: Callable[[StoreTx, R, ShowContext], Any] | None = None
    """All that whoever looks sees of a row, where that is more."""
    own: Callable[[StoreTx, Sequence[R], str], Sequence[R]] | None = None
    """Those of some rows that are a member's; None where only roles say who sees a row."""

    def __post_init__(self) -> None:
        self.name = self.name or self.row.__name__.lower()
        self.listing = self.listing or f"List the {self.plural} of the workspace."
        self.shape = self.row

    def shown(self, made: Run) -> Run:
        """Declare how rows are seen: `made(tx, rows, context)` gives a Struct for each."""
        (self.shape,) = get_args(get_type_hints(made)["return"])
        self.show = made
        return made

    def detail(self, made: Run) -> Run:
        """Declare what one row shows besides: `made(tx, row, context)` gives a Struct."""
        self.whole = get_type_hints(made)["return"]
        self.show_detail = made
        return made

    def owned(self, made: Run) -> Run:
        """Declare whose rows are: `made(tx, rows, by)` gives those of at least one that are theirs.

        Who may not do something with every row may do it with those (`token.own`, `core/roles.py`).
        """
        self.own = made
        return made

    def ident(self, row: Any) -> str:
        """What a row is called for good: its id, or its name behind the id of the row above it."""
        return str(row.id if self.below is None else f"{getattr(row, self.below.name)}/{row.name}")

    def show_one(self, tx: StoreTx, row: R, context: ShowContext) -> Any:
        """All that whoever looks sees of a row."""
        detail = self.show_detail
        return self.show(tx, [row], context)[0] if detail is None else detail(tx, row, context)

    def verb(
        self,
        told: str | Callable[[dict[str, Any]], str] = "",
        *,
        name: str = "",
        act: str = "",
        removes: bool = False,
        ends: str = "",
        rows: str = "",
        why: Literal["", "may", "must"] = "",
        asks: str = "",
        look: str = "",
        check: Callable[[Any], None] = lambda _given: None,
        foreseen: bool = False,
    ) -> Callable[[Run], Run]:
        """Declare a verb. Roles allow it by its noun and name (`group.create`, `core/roles.py`).

        Its name is the function's, and its help what that says of itself before it says `Raises`.
        """

        def declared(run: Run) -> Run:
            # With the extras, or the marks by which a name becomes a row would be lost.
            hints = get_type_hints(run, include_extras=True)
            _act, about, *given = signature(run).parameters.values()
            answer = self.shape if hints["return"] is self.row else hints["return"]
            if rows:
                shapes = [(rows, tuple[self.shape, ...])]  # type: ignore[name-defined]
                called = f"{rows}_{self.plural}".title().replace("_", "")
                answer = defstruct(called, shapes, frozen=True)
            self.verbs.append(
                NounVerb(
                    name=name or run.__name__.replace("_", "-"),
                    act=act or f"{self.name}.{run.__name__}",
                    run=run,
                    inputs=tuple(_input_of_parameter(each, hints[each.name]) for each in given),
                    answer=answer,
                    # By the type and not by a flag: a verb cannot claim to make what it is about.
                    makes=hints[about.name] is WorkspaceId,
                    removes=removes,
                    ends=ends,
                    why=why or ("may" if ends else ""),
                    about=(getdoc(run) or "").partition("Raises ")[0].strip(),
                    above=self.below is not None and hints[about.name] is self.below.row,
                    rows=rows,
                    asks=asks,
                    look=look or f"gatelodge {self.name} list",
                    told=told,
                    check=check,
                    foreseen=foreseen,
                )
            )
            return run

        return declared


def _input_of_parameter(parameter: Parameter, hint: Any) -> VerbInput:
    default = NODEFAULT if parameter.default is Parameter.empty else parameter.default
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    by = next((each for each in marks if isinstance(each, RowByName)), None)
    if by is None:
        wording = next((each for each in marks if isinstance(each, Wording)), Wording())
        kind = get_args(hint)[0] if marks else hint
        return VerbInput(name=parameter.name, type=kind, wording=wording, default=default)
    sent = default if default is NODEFAULT else ""
    wording = Wording(by.says, by.word)
    return VerbInput(name=parameter.name, type=str, by=by, wording=wording, default=sent)
