"""What is exported can be read again, and says nothing that a terminal would obey."""

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.view import rows

from gatelodge.core.catalog.server import HttpTransport, Server, StdioTransport
from gatelodge.core.errors import Invalid
from gatelodge.core.people import Agent, Group, GroupMember, Member, folded
from gatelodge.core.policy.naming import NamedEntities
from gatelodge.core.policy.rules import Guardrail
from gatelodge.flows.admin.declared.export import exported, wanted_of
from gatelodge.flows.admin.declared.reading import parse
from gatelodge.flows.nouns.file_table import WorkspaceRows

DOTTED = ".".join("abcdefghijklmnopqr")
"""More parts than a key may have."""
UNSEEN = "\0\a\b\x1b\x7f\x85\x9b\u061c\u200e\u200f\u2028\u202a\u202e\u2066\u2069\ufeff\U000e0041"
MARKS = [*UNSEEN, DOTTED, "'", '"', "'''", '"""', "\\", "\\u", "#", "[[a]]", ". "]
MARKS += ["\r\n", "\n", "\r", "\t"]
odd = st.lists(st.one_of(st.sampled_from(MARKS), st.text(max_size=3)), max_size=6).map("".join)
words = odd.map(lambda text: text.replace("\0", ""))
lines = odd.map(lambda text: "".join(filter(str.isprintable, text))[:38].strip() or "a")
"""What a name or a tag may be: one line, of which it keeps nothing outside."""
rules = odd.map(lambda text: f"forbid {text}")
names = st.lists(lines.map(lambda text: f"a {text}"), max_size=2, unique_by=folded)
pairs = st.dictionaries(st.sampled_from(["A", "B_2"]), st.just("env:C"), max_size=2)
processes = st.builds(
    StdioTransport,
    command=st.lists(words, max_size=3).map(lambda more: ("run", *more)),
    env=pairs,
    cwd=st.one_of(st.just(""), words.map(lambda text: f"/{text}")),
)
endpoints = st.builds(
    HttpTransport,
    url=st.just(f"https://a.example/{DOTTED}"),
    headers=st.dictionaries(st.sampled_from([DOTTED, "x-'a'"]), st.just("env:C"), max_size=2),
)


def guardrail(name: str, text: str) -> Guardrail:
    return Guardrail(
        id=f"rul_{name}", workspace=rows.HOME, name=name, text=text, written=text, digest="",
        created_by="local", created_at=rows.NOON,
    )  # fmt: skip


@st.composite
def presents(draw: st.DrawFn) -> WorkspaceRows:
    """A workspace full of what its people may write."""
    groups = [rows.group(name) for name in draw(names)]
    agents = [rows.agent(f"agt_{at}", name=name) for at, name in enumerate(draw(names))]
    return WorkspaceRows(
        at=rows.NOON,
        rows={
            Member: (rows.member(display=draw(lines)),),
            Agent: tuple(agents),
            Group: tuple(groups),
            GroupMember: tuple(rows.joined(a.id, group.id) for a in agents for group in groups),
            Server: (
                rows.server("srv_1", "one", transport=draw(processes), tags=(draw(lines),)),
                rows.server("srv_2", "two", transport=draw(endpoints)),
            ),
            Guardrail: (guardrail("one", draw(rules)), guardrail("two", draw(rules))),
        },
        bearers=NamedEntities(
            ids={}, names={}, tools=frozenset(), observed=frozenset(), tags=frozenset()
        ),
    )


@given(presents())
def test_what_is_exported_is_read_as_what_it_was_written_from(present: WorkspaceRows):
    assert parse(exported(present, "home")) == wanted_of(present, "home")


@given(presents())
def test_what_moves_a_cursor_or_turns_the_line_is_exported_as_an_escape(present: WorkspaceRows):
    told = exported(present, "home")
    assert {letter for letter in told if not letter.isprintable()} <= {"\n", "\t"}


PARTS = ["a", "-", '"b.c"', "'d.e'", r'"\"f"', '""', "'#'", "\"'''\"", "'\"'"]
"""Parts of keys: bare, and in quotes of both kinds."""
VALUES = [
    '"@"', "'@'", r'"\"@"', r'"\\"', '""', "''", "1.5", "[\"@\", '@'] # @", '{ a = "@" }',
    '"""\n@\n"@"""', r'"""\"""@"""', r'"""@\\"""', '""""""', '"""@"""""', "'''\n\\@'''",
    "''''@'''''", "''''''", "[1.5, # it's @\n 2] # \"\"\"",
]  # fmt: skip
"""Values with a dotted word in their texts and comments, where there is an @."""
parts = st.sampled_from(PARTS)
dots = st.sampled_from([".", " .", ".\t", " . "])
texts = st.sampled_from(VALUES).map(lambda value: value.replace("@", DOTTED))


@st.composite
def keys(draw: st.DrawFn, at_least: int, at_most: int) -> str:
    """A dotted key of so many parts."""
    more = draw(st.integers(at_least, at_most)) - 1
    return draw(parts) + "".join(draw(dots) + draw(parts) for _ in range(more))


short = st.lists(st.builds("[[{}]]\n{} = {}".format, keys(1, 3), keys(1, 15), texts), max_size=3)
long = st.builds(str.format, st.sampled_from(["{} = 1", "[{}]", "a = {{ {} = 1 }}"]), keys(17, 40))


def refusal(text: str) -> str:
    try:
        parse(text)
    except Invalid as refused:
        return refused.detail
    return ""


@given(short.map("\n".join))
def test_no_text_and_no_comment_is_taken_for_a_key_of_many_parts(file: str):
    assert "a key of more than" not in refusal(file)


@given(short.map("\n".join), long)
def test_a_key_of_many_parts_is_refused_wherever_it_stands(file: str, key: str):
    assert "a key of more than" in refusal(f"{file}\n{key}")
