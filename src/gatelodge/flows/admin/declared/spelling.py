"""The names of a file in the spelling in which they are kept, so that a second time none differs.

What keeps a name takes the space around it away, and compares the names of people, agents and
groups folded (`core.people.folded`). A plan that compared what is written would find a change
each time that the file is applied.
"""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta

from gatelodge.core.errors import Invalid
from gatelodge.flows.act import a_line
from gatelodge.flows.admin.members import email_of

PrincipalReference = Annotated[str, Meta(pattern=r"\A(member:[^@]+@[^@]+|agent:.+)\Z")]
"""`member:EMAIL` or `agent:NAME`."""

GranteeReference = Annotated[
    str, Meta(pattern=r"\A(everyone|member:[^@]+@[^@]+|agent:.+|group:.+)\Z")
]


def kept(what: str, text: str, work: Callable[[str], str]) -> str:
    """A text as it will be kept. Raises Invalid with what and which it was."""
    try:
        return work(text)
    except Invalid as fault:
        raise Invalid(f"{what}: {text!r}: {fault.detail}") from None


def address(what: str, text: str) -> str:
    """An e-mail address as it will be kept. Raises Invalid."""
    return kept(what, text, email_of)


def name(what: str, text: str, longest: int = 64) -> str:
    """A name as it will be kept. Raises Invalid."""
    return kept(what, text, lambda given: a_line("a name", given, longest))


def principal(what: str, text: str) -> str:
    """A principal or grantee, its name as it will be kept. Raises Invalid."""
    kind, _, called = text.partition(":")
    if kind == "member":
        return f"member:{address(what, called)}"
    return f"{kind}:{called.strip()}" if called else text
