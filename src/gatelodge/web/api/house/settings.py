"""What is set on the node that answers, and where it came from; secrets stay references."""

from litestar import get
from msgspec import Struct

from gatelodge.config.load import KEYS, LoadedSettings, shown
from gatelodge.web.api.parameters import TheGate


class SettingLine(Struct, frozen=True, kw_only=True):
    """One setting as the node runs with it. `origin` is default, a file, the environment, `--set`.

    A list is told as its parts with a comma between them; `changed` says that it is no default.
    """

    key: str
    value: str
    origin: str
    changed: bool


@get("/settings", opt={"act": "settings.read"})
async def listed(gate: TheGate) -> tuple[SettingLine, ...]:
    """Tell each setting of the node that answers, and where it was found."""
    known = {key: gate.origins.get(key, "") for key in KEYS}
    return tuple(
        SettingLine(
            key=each.key,
            value=_text_of(each.value),
            origin=each.origin,
            changed=each.origin != "default",
        )
        for each in shown(LoadedSettings(gate.settings, known))
    )


def _text_of(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return str(value)


ROUTES = (listed,)
