"""One function reaches an upstream, one room starts processes, few files catch everything."""

import ast
from collections.abc import Callable, Iterator

import pytest
from tests.house.source import Module, dotted, house, imports, read, told

CALL = "flows/gateway/call.py"
"""The only path to an upstream."""

OBSERVERS = {
    "flows/catalog/": "looks again when a server says that its tools changed",
    "web/api/rules/": "an admin asks; the door wants the role for it",
    "app/demonstration/": "the operator asked for the demo; its servers stand in the code",
}
"""Who may ask an upstream what tools it has: nothing a member sends leads there."""

TELLINGS = {("upstreams", "roots_changed"), ("upstreams", "subscribe")}
TELLINGS |= {("streams", "add"), ("streams", "wait_for"), ("streams", "want")}
"""What has servers told something outside of calls: by whom it is done, and how it is called."""

TELLS = {
    "flows/gateway/subscriptions.py": "keeps who waits; told of by the streams",
    "app/node.py": "hands the port on to the streams, which are told by those who noted",
}

OTHER_BEGINNINGS = ("adapters/upstream/", "ports/", "core/", "tlog/")
"""The port and what stands behind it; and the floors whose contracts keep every port out."""

STARTS_PROCESSES = ("adapters/runtime/",)

HTTP_CLIENTS = {"aiohttp", "http.client", "httpx", "requests", "urllib.request", "urllib3"}
SPEAKS_HTTP = {
    "adapters/runtime/docker/": "a container engine's own client, on its socket (decision 0033)",
    "adapters/telemetry/": "spans leave by the thread of their SDK (decision 0024)",
    "cli/": "a command speaks to its own gate",
    "app/demonstration/": "the people of the demo speak to their own gate",
    "adapters/runtime/kubernetes/": "the operator names the cluster (decision 0034)",
}

CATCHES_ALL = {
    "web/endpoint/endpoint.py": "the web face: an unknown fault becomes an incident id",
    "flows/incidents.py": "what outsiders cause in a task of the node becomes an incident id",
    "adapters/upstream/pool.py": "a link at which the gate failed is given up, and begun anew",
    "cli/main.py": "the command line: an unknown fault becomes an exit code",
}

CONTAINS = {
    "flows/catalog/watch.py": "a look: what was known stays, and it is taken again",
    "flows/hosting/usage.py": "a sample of numbers: the last one stands",
    "flows/audit/index/filler.py": "what is derived of the log: it is dropped, and made anew",
    "flows/hosting/recorded_runtime.py": "an end, of which others behind it must not be kept",
}
"""Where a fault that nobody thought of ends no task of the node: what opens nothing to anybody."""

SYNCS_FILES = {
    "adapters/files.py": "whole files, put in the place of others",
    "adapters/journal/disk.py": "files that are written on, frame by frame",
}

_PROCESS_CALLS = {
    "create_subprocess_exec", "create_subprocess_shell", "subprocess_exec", "subprocess_shell",
    "open_process", "run_process", "Popen", "system", "popen", "fork", "forkpty", "posix_spawn",
    "posix_spawnp", "execv", "execve", "execvp", "execvpe", "spawnv", "spawnve",
}  # fmt: skip


@pytest.mark.guarantee("isolation:no-second-path")
def test_only_the_call_flow_reaches_an_upstream():
    faults = [
        f"{m.path}:{node.lineno} touches .begin"
        for m in house()
        if m.room != CALL and not m.room.startswith(OTHER_BEGINNINGS)
        for node in _beginnings(m)
    ]
    assert not faults, told(
        f"Only {CALL} may send a request to an upstream: decision and recorder stand there "
        "(isolation:no-second-path).",
        faults,
        "go through the call flow.",
    )


@pytest.mark.guarantee("isolation:no-second-path")
def test_nothing_a_member_sends_asks_an_upstream_for_its_tools():
    allowed = (*OBSERVERS, *OTHER_BEGINNINGS)
    faults = [
        f"{m.path}:{node.lineno} touches .observe"
        for m in house()
        if not m.room.startswith(allowed)
        for node in m.nodes
        if _names(node, "observe")
    ]
    assert not faults, told(
        "Reading a server's tools may start its process (isolation:no-second-path). Allowed: "
        + "; ".join(f"{path} ({why})" for path, why in OBSERVERS.items()),
        faults,
        "let the catalog flow observe, and read its result from the view.",
    )


@pytest.mark.guarantee("isolation:no-second-path")
def test_what_servers_are_told_outside_of_calls_is_told_where_its_intent_is_written():
    faults = [
        f"{m.path}:{line} has servers told by .{word}"
        for m in house()
        if not m.room.startswith((*OTHER_BEGINNINGS, *TELLS))
        for line, word in _tellings(m)
        if not any(_names(node, "noted") for node in m.nodes)
    ]
    assert not faults, told(
        "What a member has a server told needs its intent first (audit:intent-before-effect): "
        "whoever does it asks `words.noted` before. Allowed without: "
        + "; ".join(f"{path} ({why})" for path, why in TELLS.items()),
        faults,
        "note it, tell those who may be told, without a wait in between.",
    )


@pytest.mark.guarantee("isolation:no-second-path")
def test_only_the_runtime_room_starts_processes():
    faults = []
    for m in house():
        if m.room.startswith(STARTS_PROCESSES):
            continue
        faults += [
            f"{m.path}:{line} imports {name}"
            for line, name in imports(m)
            if name.split(".")[0] in {"subprocess", "multiprocessing", "pty"}
        ]
        faults += [
            f"{m.path}:{node.lineno} {dotted(node.func)}"
            for node in m.nodes
            if isinstance(node, ast.Call) and _last(node.func) in _PROCESS_CALLS
        ]
    assert not faults, told(
        "Processes are started from approved definitions in one room (isolation:no-second-path).",
        faults,
        "describe the server in the catalog; adapters/runtime starts it.",
    )


def test_what_goes_out_over_http_goes_the_guarded_way():
    faults = [
        f"{m.path}:{line} imports {name}"
        for m in house()
        if not m.room.startswith(tuple(SPEAKS_HTTP))
        for line, name in imports(m)
        if name.startswith(tuple(HTTP_CLIENTS))
    ]
    assert not faults, told(
        "Another client would bring rules of its own for where it leads (decision 0026). Allowed: "
        + "; ".join(f"{path} ({why})" for path, why in SPEAKS_HTTP.items()),
        faults,
        "ask through GuardedClient.fetch of adapters/net/fetch.py.",
    )


def test_what_is_to_last_is_written_in_the_named_files_only():
    faults = [
        f"{m.path}:{node.lineno} {dotted(node.func)}"
        for m in house()
        if m.room not in SYNCS_FILES
        for node in m.nodes
        if isinstance(node, ast.Call) and _last(node.func) in {"fsync", "fdatasync"}
    ]
    assert not faults, told(
        "A write may be taken in part, and a part that is synced and renamed is all there is. "
        "Allowed: " + "; ".join(f"{path} ({why})" for path, why in SYNCS_FILES.items()),
        faults,
        "call replace_file or create_file of adapters/files.py.",
    )


def test_everything_is_caught_in_the_named_files_only():
    faults = [
        f"{m.path}:{line}" for m in house() if m.room not in CATCHES_ALL for line in _greedy(m)
    ]
    assert not faults, told(
        "A narrow except says which fault was thought of; a wide one hides the others. Allowed: "
        + "; ".join(f"{path} ({why})" for path, why in CATCHES_ALL.items()),
        faults,
        "name the exceptions, or catch, clean up and raise again.",
    )


def test_outsiders_are_contained_in_the_named_files_only():
    room = "flows/incidents.py"
    users = {m.room for m in house() if m.room != room and "contained" in _names_used(m)}
    assert users == CONTAINS.keys(), told(
        "Going on after an unknown fault is right where nothing is open then: "
        + "; ".join(f"{path} ({why})" for path, why in CONTAINS.items()),
        sorted(users ^ CONTAINS.keys()),
        "let the fault end the task, or say here why going on opens nothing.",
    )


@pytest.mark.parametrize(
    ("text", "finds"),
    [
        ("u.begin(x)", lambda m: list(_beginnings(m))),
        ("f = u.begin", lambda m: list(_beginnings(m))),
        ("f = getattr(u, 'begin')", lambda m: list(_beginnings(m))),
        ("gate.streams.wait_for(s, uris)", lambda m: list(_tellings(m))),
        ("self._gate.upstreams.roots_changed(a)", lambda m: list(_tellings(m))),
        ("try: f()\nexcept Exception: pass", lambda m: list(_greedy(m))),
        ("try: f()\nexcept (OSError, BaseException): pass", lambda m: list(_greedy(m))),
        ("try: f()\nexcept: pass", lambda m: list(_greedy(m))),
        ("with suppress(Exception): f()", lambda m: list(_greedy(m))),
    ],
)
def test_a_breach_is_seen(text: str, finds: Callable[[Module], list[object]]):
    assert finds(read("src/gatelodge/x.py", text))


def test_another_beginning_is_no_breach():
    assert not list(_beginnings(read("src/gatelodge/x.py", "with engine.begin() as c: f(c)")))


def test_cleaning_up_and_raising_again_is_no_breach():
    text = "try: f()\nexcept BaseException:\n    g()\n    raise"
    assert not list(_greedy(read("src/gatelodge/x.py", text)))


def _beginnings(m: Module) -> Iterator[ast.AST]:
    """Each use of `.begin` that may be the port's, which takes arguments: an empty call is not."""
    empty = {n.func for n in m.nodes if isinstance(n, ast.Call) and not n.args and not n.keywords}
    yield from (n for n in m.nodes if _names(n, "begin") and n not in empty)


def _tellings(m: Module) -> Iterator[tuple[int, str]]:
    """Each use of what has servers told something."""
    for node in m.nodes:
        if isinstance(node, ast.Attribute):
            owner = dotted(node.value).rpartition(".")[2].lstrip("_")
            if (owner, node.attr) in TELLINGS:
                yield node.lineno, node.attr


def _names(node: ast.AST, word: str) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == word
    if isinstance(node, ast.Call) and _last(node.func) in {"getattr", "attrgetter", "methodcaller"}:
        return any(isinstance(a, ast.Constant) and a.value == word for a in node.args)
    return False


def _names_used(m: Module) -> set[str]:
    return {n.id for n in m.nodes if isinstance(n, ast.Name)}


def _last(func: ast.expr) -> str:
    return dotted(func).split(".")[-1]


def _greedy(m: Module) -> Iterator[int]:
    everything = {"Exception", "BaseException"}
    for node in m.nodes:
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            wide = any(c is None or _last(c) in everything for c in caught)
            last = node.body[-1]
            if wide and not (isinstance(last, ast.Raise) and last.exc is None):
                yield node.lineno
        elif (
            isinstance(node, ast.Call)
            and _last(node.func) == "suppress"
            and any(_last(a) in everything for a in node.args)
        ):
            yield node.lineno
