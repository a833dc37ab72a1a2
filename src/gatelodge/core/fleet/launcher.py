"""What a client's command really starts: wrappers taken away, packages and images by their names.

Nothing is started and nothing is asked: the words alone say it.
"""

import re
from collections.abc import Sequence
from typing import Final, Literal
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

LauncherKind = Literal["npm", "pypi", "oci", "remote", "program"]

RUNNERS: Final[dict[str, LauncherKind]] = {
    "npx": "npm",
    "bunx": "npm",
    "uvx": "pypi",
    "pipx": "pypi",
}
"""Programs that fetch a package and run it, and the kind of the package."""

EXACT: Final = {
    "npm": re.compile(r"\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.+-]+)?"),
    "pypi": re.compile(r"\d[0-9A-Za-z.+!_-]*"),
}
"""What names one version and no other."""

_LONG: Final[dict[tuple[str, ...], str]] = {
    ("uv", "tool", "run"): "uvx",
    ("uv", "x"): "uvx",
    ("pnpm", "dlx"): "npx",
    ("pnpx",): "npx",
    ("yarn", "dlx"): "npx",
    ("npm", "exec"): "npx",
    ("npm", "x"): "npx",
    ("bun", "x"): "bunx",
    ("pipx", "run"): "pipx",
}
"""Commands of several words, by the runner that does the same."""
_NAMING: Final = {
    "npx": ("-p", "--package"),
    "bunx": ("-p", "--package"),
    "uvx": ("--from",),
    "pipx": ("--spec",),
}
_VALUED: Final = {
    "npx": ("--registry", "--cache", "--userconfig", "--prefix", "-w", "--workspace", "--loglevel"),
    "bunx": (),
    "uvx": (
        *("--with", "--python", "-p", "--index", "--index-url", "--extra-index-url", "-i"),
        *("--default-index", "--with-editable", "--with-requirements", "--directory", "--project"),
        *("--cache-dir", "--config-file", "--constraints", "--env-file", "--refresh-package"),
    ),
    "pipx": ("--python", "--pip-args", "--index-url", "-i"),
    "docker": (
        *("-e", "--env", "-v", "--volume", "--mount", "-p", "--publish", "--name", "--network"),
        *(
            "--net",
            "-u",
            "--user",
            "-w",
            "--workdir",
            "--env-file",
            "--entrypoint",
            "-l",
            "--label",
        ),
        *("-m", "--memory", "--cpus", "--platform", "--pull", "--add-host", "-h", "--hostname"),
        *("--cap-add", "--cap-drop", "--device", "--dns", "--gpus", "--ipc", "--log-driver"),
        *("--pid", "--restart", "--runtime", "--security-opt", "--shm-size", "--tmpfs", "--ulimit"),
        *("--userns", "--cidfile", "--cgroup-parent", "--expose", "--link", "--volumes-from"),
    ),
    "deno": ("--config", "-c", "--import-map", "--lock", "--cert", "--location", "--v8-flags"),
}
_SHELLS: Final = ("bash", "sh", "zsh", "dash", "fish")
_BRIDGES: Final = ("mcp-remote", "supergateway", "mcp-proxy")
_ENGINES: Final = ("docker", "podman", "nerdctl")
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=")
_SHELL_WORD = re.compile(r"""(?:[^\s"'\\;&|<>()$`]|\\.|"(?:[^"\\`]|\\.)*"|'[^']*'|\$\{?\w+\}?)+""")
_SHELL_SIGN = re.compile(r"[;&|<>()`]|\$\(")
MOST_WRAPPERS: Final = 8
"""Wrappers around wrappers: nobody writes more, and each costs another look."""


class LaunchedCommand(Struct, frozen=True, kw_only=True):
    """What a command starts.

    `name` and `version` are those of a package or an image; "" where it names none. `script` is the
    program of the package that is meant, "" for its own. Of a remote one `url` says where, and
    `headers` are what it is sent (`NAME`, `VALUE`). `args` follow. `env` are variables that the
    words themselves set. `options` are those that mean something to a launcher alone.
    """

    kind: LauncherKind
    name: str = ""
    version: str = ""
    script: str = ""
    args: tuple[str, ...] = ()
    url: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """True when one version is named, and no other can be meant."""
        if self.kind == "oci":
            return self.version.startswith("sha256:") or self.version not in ("", "latest")
        form = EXACT.get(self.kind)
        return form is not None and form.fullmatch(self.version) is not None

    @property
    def source(self) -> str:
        """The artifact as `read_source` takes it; "" for what is none at one exact version."""
        if not self.exact:
            return ""
        sign = ":" if self.kind == "oci" and not self.version.startswith("sha256:") else "@"
        return f"{self.kind}:{self.name}{sign}{self.version}"


def read_launcher(words: Sequence[str]) -> LaunchedCommand:
    """What a command starts; whatever is not known is a program of its own."""
    left, env = list(words), list[tuple[str, str]]()
    for _ in range(MOST_WRAPPERS):
        inner = _unwrapped(left, env)
        if inner is None:
            break
        left = inner
    found = _read_runner(left)
    return replace(found, env=(*env, *found.env))


def program_name(word: str) -> str:
    """What a program is called, without its folder and without the ending of another system."""
    base = word.replace("\\", "/").rpartition("/")[2].lower()
    for ending in (".cmd", ".exe", ".bat", ".ps1"):
        base = base.removesuffix(ending)
    return base


def split_version(kind: str, package: str) -> tuple[str, str]:
    """Name and version of a package as a launcher is told it; "" for no version."""
    if "://" in package:  # an address, in which the sign stands behind a login
        return package.strip(), ""
    if kind == "pypi" and "==" in package:
        name, _, version = package.partition("==")
        return name.strip(), version.strip()
    # A scope of npm begins with the sign that stands before a version.
    at = package.find("@", 1)
    return (package[:at].strip(), package[at + 1 :].strip()) if at > 0 else (package.strip(), "")


def split_image(text: str) -> tuple[str, str]:
    """Name and digest or tag of an image, its registry written out."""
    name, at, digest = text.partition("@")
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    name = f"{head}{slash}{last}"
    first = name.partition("/")[0]
    if "/" not in name:
        name = f"docker.io/library/{name}"
    elif not ("." in first or ":" in first or first == "localhost"):
        name = f"docker.io/{name}"
    return name, digest if at else tag if colon else ""


def _unwrapped(words: list[str], env: list[tuple[str, str]]) -> list[str] | None:
    """The words within a wrapper; None where there is none."""
    program = program_name(words[0]) if words else ""
    if program == "cmd":
        at = next((i for i, w in enumerate(words) if w.lower() in ("/c", "/k")), 0)
        return _said_in_shell(words[at + 1 :]) if at else None
    if program in _SHELLS:
        at = next((i for i, w in enumerate(words[1:4], 1) if re.fullmatch(r"-[a-z]*c", w)), 0)
        inner = _shell_words(words[at + 1]) if at and at + 1 < len(words) else None
        return _without_exec(inner, env) if inner else None
    if program == "env" and len(words) > 1:
        return _without_exec(words[1:], env)
    if program in ("sudo", "nohup", "exec", "nice", "time") and len(words) > 1:
        return words[1:] if not words[1].startswith("-") else None
    return None


def _said_in_shell(words: list[str]) -> list[str] | None:
    # `cmd /c "npx -y x"` is one word to a client and several to the shell.
    return _shell_words(words[0]) if len(words) == 1 else words or None


def _shell_words(text: str) -> list[str] | None:
    """The words of one plain command; None for more than that, which nobody can take apart here."""
    found, at = list[str](), 0
    for each in _SHELL_WORD.finditer(text):
        if _SHELL_SIGN.search(text[at : each.start()]):
            return None
        found.append(re.sub(r"""\\(.)|["']""", lambda m: m[1] or "", each[0]))
        at = each.end()
    return found if found and not text[at:].strip() else None


def _without_exec(words: list[str], env: list[tuple[str, str]]) -> list[str] | None:
    left = list(words)
    while left and (_ASSIGNED.match(left[0]) or left[0] in ("exec", "-S", "--", "-i")):
        name, sign, value = left.pop(0).partition("=")
        if sign:
            env.append((name, value))
    return left or None


def _read_runner(words: list[str]) -> LaunchedCommand:
    if not words:
        return LaunchedCommand(kind="program")
    program, rest = program_name(words[0]), words[1:]
    for spelled, runner in _LONG.items():
        if (program, *rest[: len(spelled) - 1]) == spelled:
            return _read_package(runner, rest[len(spelled) - 1 :])
    if program in RUNNERS and program != "pipx":
        return _read_package(program, rest)
    if program in _ENGINES and rest[:1] == ["container"]:
        rest = rest[1:]
    if program in _ENGINES and rest[:1] == ["run"]:
        return _read_image(rest[1:])
    known = None
    if program == "deno" and rest[:1] in (["run"], ["x"]):
        known = _read_deno(rest[1:])
    elif program in _BRIDGES:
        known = _read_remote(rest)
    return known or LaunchedCommand(kind="program", args=tuple(words))


def _read_package(runner: str, words: list[str]) -> LaunchedCommand:
    named, options, rest = _take_options(runner, words)
    kind = RUNNERS[runner]
    if not rest:
        name, version = split_version(kind, named)
        return LaunchedCommand(kind=kind, name=name, version=version, options=options)
    program, args = rest[0], rest[1:]
    if runner == "pipx" and not named and program.endswith(".py"):
        return LaunchedCommand(kind="program", args=("pipx", "run", *rest))
    name, version = split_version(kind, named or program)
    remote = _read_remote(args) if name in _BRIDGES else None
    if remote is not None:
        return remote
    return LaunchedCommand(
        kind=kind,
        name=name,
        version=version,
        script=program if named else "",
        args=tuple(args),
        options=options,
    )


def _take_options(runner: str, words: Sequence[str]) -> tuple[str, tuple[str, ...], list[str]]:
    """The package that an option names, the other options, and what stands behind them."""
    named, options, rest = "", list[str](), list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            break
        option, equals, value = word.partition("=")
        if option in _NAMING.get(runner, ()) and not named and (equals or rest):
            named = value if equals else rest.pop(0)
            continue
        options.append(option)
        if option in _VALUED[runner] and not equals and rest:
            rest.pop(0)
    return named, tuple(options), rest


def _read_image(words: Sequence[str]) -> LaunchedCommand:
    rest, options, env = list(words), list[str](), list[tuple[str, str]]()
    while rest and rest[0].startswith("-"):
        option, equals, value = rest.pop(0).partition("=")
        if option in _VALUED["docker"] and not equals and rest:
            value = rest.pop(0)
        if option.startswith("-e") and len(option) > 2 and option[2] != "-":
            option, value = "-e", option[2:] + equals + value
        if option in ("-e", "--env"):
            name, sign, text = value.partition("=")
            # Without a sign it is handed on from whoever starts it.
            env.append((name, text if sign else f"${{{name}}}"))
        else:
            options.append(option)
    if not rest:
        return LaunchedCommand(kind="oci", env=tuple(env), options=tuple(options))
    name, version = split_image(rest[0])
    return LaunchedCommand(
        kind="oci",
        name=name,
        version=version,
        args=tuple(rest[1:]),
        env=tuple(env),
        options=tuple(options),
    )


def _read_deno(rest: list[str]) -> LaunchedCommand | None:
    _, options, left = _take_options("deno", rest)
    if left and left[0].startswith("npm:"):
        name, version = split_version("npm", left[0].removeprefix("npm:").lstrip("/"))
        return LaunchedCommand(
            kind="npm", name=name, version=version, args=tuple(left[1:]), options=options
        )
    return None


def _read_remote(words: Sequence[str]) -> LaunchedCommand | None:
    """A bridge to a server elsewhere; None where no address is among its words."""
    at = next((i for i, w in enumerate(words) if _is_address(w)), -1)
    if at < 0:
        return None
    headers = [_header(value) for value in _values_of(words, ("--header", "-H", "--headers"))]
    return LaunchedCommand(kind="remote", url=words[at], headers=tuple(headers))


def _values_of(words: Sequence[str], options: Sequence[str]) -> list[str]:
    found = list[str]()
    for at, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in options and equals:
            found.append(value)
        elif word in options and at + 1 < len(words):
            found.append(words[at + 1])
    return found


def _header(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name.strip(), value.strip()


def _is_address(word: str) -> bool:
    try:
        return urlsplit(word).scheme in ("http", "https")
    except ValueError:
        return word.startswith(("http://", "https://"))
