"""Definitions of servers, and for each what it is refused for: the place, "" for none.

Every face that takes a definition, and whoever reaches its server, must say the same of it.
"""

import json
from typing import Any

WEB = "https://web.example/mcp"
RUN = ["/bin/cat"]
BELL = "bell\x01"


def web(url: str = WEB, **more: Any) -> dict[str, Any]:
    return {"url": url, **more}


def header(name: str, value: str = "x") -> dict[str, Any]:
    return web(headers={name: value})


def run(*command: str, **more: Any) -> dict[str, Any]:
    return {"command": list(command or RUN), "run_as": "gateway", **more}


REACHED: tuple[dict[str, Any], ...] = (
    web(),
    web("HTTPS://Web.Example:8443/a/b?c=d&e=%C3%A9"),
    web("https://web.example?only=query"),
    web("https://web.example./mcp"),
    web("https://under_score.example/mcp"),
    web("https://xn--bcher-kva.example/mcp"),
    web("https://8.8.8.8/mcp"),
    web("https://[2606:4700:4700::1111]:8443/mcp"),
    web("http://127.0.0.1:9/mcp", allow_private=True),
    web("http://[::1]:9/mcp", allow_private=True),
    web("http://intranet/mcp", allow_private=True),
    header("Authorization", "Bearer abc"),
    header("Authorization", "Bearer env:TOKEN"),
    header("X-Text", "text:env:NO"),
    header("X-Latin", "Stra\u00dfe"),
    header("X-Empty", ""),
    header("Accept-Language", "de\ten"),
    run(),
    run("npx", "-y", "caf\u00e9", "--line\nbreak"),
    run("./server", cwd="/srv"),
    run(env={"A": "1", "_B2": "\u2603", "T": "env:TOKEN", "F": "file:/k"}),
)

REFUSED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("url", web("not a url")),
    ("url", web("web.example/mcp")),
    ("url", web("ftp://web.example/mcp")),
    ("url", web("https:///mcp")),
    ("url", web("https://[::1/mcp")),
    ("url", web("https://[v1.a]/mcp")),
    ("url", web("https://127.1/mcp", allow_private=True)),
    ("url", web("https://0x7f.1/mcp", allow_private=True)),
    ("url", web("https://2130706433/mcp", allow_private=True)),
    ("url", web("https://127.0.0.1./mcp", allow_private=True)),
    ("url", web("https://256.1.1.1/mcp")),
    ("url", web("https://[fe80::1%25eth0]/mcp")),
    ("url", web("https://web.example:99999/mcp")),
    ("url", web("https://web.example:0/mcp")),
    ("url", web("https://web.example:x/mcp")),
    ("url", web("https://ann@web.example/mcp")),
    ("url", web("https://ann:pw@web.example/mcp")),
    ("url", web("https://web.example/mcp#part")),
    ("url", web("https://web.example/a b")),
    ("url", web("https://web.example/\t")),
    ("url", web(" https://web.example/mcp")),
    ("url", web("https://web.example/\r\nX: y")),
    ("url", web("https://web.example/caf\u00e9")),
    ("url", web("https://web.example/mcp?q=\u2603")),
    ("url", web("https://b\u00fccher.example/mcp")),
    ("url", web("https://\u0430pple.example/mcp")),
    ("url", web("https://two..dots/mcp")),
    ("url", web("https://.web.example/mcp")),
    ("url", web("https://" + "a" * 64 + ".example/mcp")),
    ("url", web("https://" + ("a" * 60 + ".") * 5 + "example/mcp")),
    ("url", web('https://web"example/mcp')),
    ("url", web("https://web.example\\@evil.example/mcp")),
    ("url", web("https://web%2eexample/mcp")),
    ("url", web("http://web.example/mcp")),
    ("url", web("http://8.8.8.8/mcp", allow_private=True)),
    ("url", web("https://127.0.0.1/mcp")),
    ("url", web("https://[::ffff:10.0.0.1]/mcp")),
    ("url", web("https://169.254.169.254/latest", allow_private=True)),
    ("url", web(WEB + "?key=env:TOKEN")),
    ("headers", header("Host")),
    ("headers", header("content-length", "1")),
    ("headers", header("Transfer-Encoding", "chunked")),
    ("headers", header("Content-Encoding", "gzip")),
    ("headers", header("accept")),
    ("headers", header("accept-encoding", "identity")),
    ("headers", header("Last-Event-ID", "7")),
    ("headers", header("keep-alive", "timeout=5")),
    ("headers", header("Proxy-Authorization")),
    ("headers", header("Mcp-Session-Id")),
    ("headers", header("User-Agent")),
    ("headers", header("X Y")),
    ("headers", header("X\u00dc")),
    ("headers", header("")),
    ("headers", header("X-Snow", "\u2603")),
    ("headers", header("X-Bell", BELL)),
    ("headers", header("X-Bell", f"text:{BELL}")),
    ("headers", header("X-Lines", "a\r\nY: z")),
    ("headers", header("X-Half", "Bearer env:")),
    ("headers", header("X-Half", "file:relative")),
    ("headers", web(headers={"X-Key": "a", "x-key": "b"})),
    ("command", run("")),
    ("command", run("a\0b")),
    ("command", run("./server")),
    ("command", run("/bin/cat", "--key=env:TOKEN")),
    ("cwd", run(cwd="srv")),
    ("cwd", run(cwd="/s\0rv")),
    ("env", run(env={"A=B": "x"})),
    ("env", run(env={"": "x"})),
    ("env", run(env={"\u00c4": "x"})),
    ("env", run(env={"A": "x\0"})),
    ("env", run(env={"A": "two\nlines"})),
    ("env", run(env={"A": "env:B C"})),
    ("env", web(env={"A": "1"})),
    ("command", {"command": RUN, "url": WEB}),
    ("headers", run(headers={"X": "y"})),
)

TABLE = (*(("", each) for each in REACHED), *REFUSED)


def said(definition: dict[str, Any]) -> str:
    """What a test is called by."""
    return ascii(definition)[:70]


def is_mixed(definition: dict[str, Any]) -> bool:
    """True for parts of two ways, which the API has no form for."""
    of_command = {"command", "env", "cwd", "run_as"} & definition.keys()
    return bool(of_command and {"url", "headers"} & definition.keys())


def transport(definition: dict[str, Any]) -> dict[str, Any]:
    """The same as the API takes it."""
    return {"type": "http" if "url" in definition else "stdio", **definition}


def entry(definition: dict[str, Any]) -> dict[str, Any]:
    """The same as a client's file has it."""
    words = definition.get("command", ())
    command = {"command": words[0], "args": words[1:]} if words else {}
    return {**definition, **command}


def tables(alias: str, definition: dict[str, Any]) -> str:
    """The same as a file for `apply` has it."""
    lines = ['workspace = "main"', "[[servers]]", f'alias = "{alias}"']
    for name, value in definition.items():
        if isinstance(value, dict):
            pairs = (f"{_quoted(key)} = {_quoted(each)}" for key, each in value.items())
            lines.append(f"{name} = {{{', '.join(pairs)}}}")
        else:
            lines.append(f"{name} = {_quoted(value)}")
    return "\n".join(lines)


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
