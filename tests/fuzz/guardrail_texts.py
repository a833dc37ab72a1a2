"""Guardrails as an outsider would write them to bring a parser down: each sign again and again."""

import random

WRAPS = (
    "(§)", "[§]", "{a: {}}", '{"a": {}}', "!§", "-§", "- §", "!!§",
    "§.a", '§["a"]', "§.contains(1)", "[1].contains(§)", "§.toDate()", "§.a.b.c",
    "§ && true", "true && §", "§ || true", "true || §", "§ + 1", "1 + §", "§ - 1",
    "§ * 2", "2 * §", "§ == 1", "1 == §", "§ != 1", "§ < 1", "1 <= §", "§ in resource",
    "resource in §", "resource in [§]", "§ has a", "§ has a.b", '§ has "a"', '§ like "*a*"',
    "§ is A", "§ is A::B", "§ is A in §", "if § then 1 else 2", "if true then § else 2",
    "if true then 1 else §", "if § then § else 1", "datetime(§)", "ip(§)", "[§, 1]",
    "[1, §]", "{a: 1, b: {}}", "A::B::§", "(§", "§)", "[§", "§]", "{§", "{}}", "(§]",
    "true } when { §", "true } unless { §", "§; forbid (principal, action, resource)",
    "\n§", "// (\n§", "/* §", '"§', '"\\§', "// \x0b(§", "// \u2028[§", "// \x85{§",
    "@a §", "?principal §", "(§) in [§]",
)  # fmt: skip
"""Texts with a hole (`§`): what can stand around an expression, and what cannot."""
CORES = (
    "true", "1 == 1", "principal", "resource.pinned", "context.now", "", '"', "(", "é", "1" * 40,
    'Gatelodge::Tag::"x"', 'datetime("2027-01-01") < context.now', "principal has role.a.b.c",
)  # fmt: skip
ROWS = (
    "(", ")", "[", "]", "{", "}", "{a:", ".a", '["a"]', ".contains(", "&&", "true && ", "true||",
    "1+", "1-", "1*", "!", "-", "==", "<", "in ", "resource in ", "has ", "like ", "is ", "if ",
    "if true then ", "if true then true else ", "then ", "else ", "::", "A::", "a:", ",", "1,",
    "[],", "{},", "a.", '"', '\\"', '"",', "@a", '@a("x") ', "when { true } ", "unless {",
    "forbid (principal, action, resource);", "principal", "?principal ", "\n", "// (\n", "//(",
    "*", ' like "*" && ', "\x00", "é", "`", ";", "datetime(", 'ip("', "true ", "0", "9", "_",
)  # fmt: skip
LONGEST = 16_300


def condition(inside: str) -> str:
    """A guardrail with this condition."""
    return f'@reason("no") forbid (principal, action, resource) when {{ {inside} }};'


def wrapped(core: str, wrap: str, times: int) -> str:
    """The core with the wrap around it so many times, as far as there is room."""
    for _ in range(times):
        if len(core) > LONGEST - 100:
            break
        core = wrap.replace("§", core, 1).replace("§", "1")
    return core


def rows() -> list[str]:
    """Each sign as often as it has room, in a condition and by itself."""
    found: list[str] = []
    for sign in ROWS:
        many = sign * ((LONGEST - 100) // len(sign))
        found += [many, condition(many), condition(f"1 {many} 1")]
    return found


def nests(times: int) -> list[str]:
    """Each wrap so many times around one core."""
    return [condition(wrapped("true", wrap, times)) for wrap in WRAPS]


def misfits() -> list[str]:
    """Below as many levels as there may be, each sign again and again where none fits."""
    below = "if true then 1 else " * 60
    return [condition(below + sign * n) for sign in ROWS for n in (350, 700, 1_500)]


def any_text(chance: random.Random) -> str:
    """A text of some wraps in some order, each again and again; sometimes damaged."""
    core = chance.choice(CORES)
    for _ in range(chance.randint(1, 6)):
        wrap = chance.choice((*WRAPS, chance.choice(ROWS) + "§"))
        core = wrapped(core, wrap, chance.choice((1, 2, 5, 10, 20, 30, 60, 100, 1000)))
    text = condition(core)
    if chance.random() < 0.2:
        start = chance.randrange(len(text))
        text = text[:start] + text[start + chance.randint(1, 30) :]
    return text[:LONGEST]
