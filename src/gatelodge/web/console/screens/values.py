"""The forms by which a value of a secret is set and erased; no page ever holds one."""

from typing import Final

from gatelodge.core.vault.secret import SecretMode
from gatelodge.flows.vault.secrets import SecretShape
from gatelodge.web.api.context import WorkspaceContext
from gatelodge.web.console.forms import NOTHING, FormField, FormOutcome, VerbForm, home_of
from gatelodge.web.console.rendering import segment

_EACHS: Final[dict[SecretMode, tuple[tuple[str, str], ...]]] = {
    "shared": (),
    "member": (("own", "Your own"), ("member", "Or the member's")),
    "agent": (("agent", "The agent's"),),
}
_LOOKS: Final = "looks"
_CHECKS: Final = frozenset(("own", _LOOKS))


def forms_of_values(
    place: WorkspaceContext, row: SecretShape, outcome: FormOutcome
) -> list[VerbForm]:
    """The forms that the reader may use on the values of one secret."""
    every = place.caller.may("secret.set")
    if not every and (row.mode == "shared" or not place.caller.may("secret.own")):
        return []
    base = f"{home_of(place)}/secrets/{segment(row.name)}"
    asked = list(_EACHS[row.mode])
    if every and row.mode != "shared":
        asked.append((_LOOKS, "Or the one with which the gate looks at servers"))
    value = FormField(name="value", label="The value", kind="secret", needed=True)
    return [
        _form(
            ("set", "Set its value", f"{base}/value"),
            "It is sealed in the vault, and shown to nobody again. What names it in its definition "
            "is given it from now on, and begins anew where it had another one.",
            (value, *_holders(asked, outcome, "set")),
            outcome,
        ),
        _form(
            ("unset", "Erase a value" if asked else "Erase its value", f"{base}/erase"),
            "The secret stays, and what was started with the value ends.",
            _holders(asked, outcome, "unset"),
            outcome,
        ),
    ]


def _form(
    said: tuple[str, str, str], about: str, asked: tuple[FormField, ...], outcome: FormOutcome
) -> VerbForm:
    name, title, path = said
    mine = outcome if outcome.form == name else NOTHING
    return VerbForm(
        name=name,
        title=title,
        path=path,
        about=about,
        fields=asked,
        tries=False,
        grave=name == "unset",
        outcome=mine,
        elsewhere="gatelodge secret set NAME --from-file FILE" if name == "set" else "",
    )


def _holders(
    asked: list[tuple[str, str]], outcome: FormOutcome, form: str
) -> tuple[FormField, ...]:
    typed = outcome.typed if outcome.form == form else {}
    return tuple(
        FormField(
            name=name,
            label=label,
            kind="check" if name in _CHECKS else "text",
            hint="" if name in _CHECKS else "EMAIL" if name == "member" else "NAME",
            value=typed.get(name, ""),
        )
        for name, label in asked
    )
