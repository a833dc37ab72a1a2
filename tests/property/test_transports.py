"""What may be registered may be reached: the bytes and processes that come of it are as it says."""

import subprocess
from collections.abc import Callable
from typing import TypeVar

import httptools
from hypothesis import example, given
from hypothesis import strategies as st

from gatelodge.adapters.keys.secret_refs import SecretRefs
from gatelodge.adapters.upstream.http.head import (
    RequestHeads,
    head_lines,
    read_endpoint,
    request_wire,
)
from gatelodge.core.catalog.references import reference
from gatelodge.core.catalog.server import HttpTransport, StdioTransport
from gatelodge.core.catalog.transport import check_transport
from gatelodge.core.errors import Invalid, UpstreamUnreachable

MARKS = ["/", "?", "#", "@", ":", ".", "%", "\\", "[", "]", "a", "Z", "0", "-", "_", "env:A"]
MARKS += [" ", "\t", "\r\n", "\0", "\x1f", "\x85", "\u00fc", "\u2603", "\u3002", "\ud800", "text:"]
texts = st.one_of(st.text(max_size=8), st.lists(st.sampled_from(MARKS), max_size=6).map("".join))
plain = st.text("aB0-_.", min_size=1, max_size=6)
hosts = ["a.example", "A.b.", "a_b", "a.b:8443", "127.0.0.1", "[::1]", "8.8.8.8", "[2606:4700::1]"]
schemes = st.sampled_from(["https", "HTTPS", "http", "ftp"])
ways = st.one_of(st.sampled_from(["", "/", "/mcp", "/mcp?a=b", "?a", ":0/"]), texts)
odd_urls = st.builds("{}://{}{}".format, schemes, st.one_of(st.sampled_from(hosts), texts), ways)
urls = st.builds("https://{}/{}".format, st.sampled_from(hosts), plain)
names = st.one_of(plain, st.sampled_from(["Authorization", "x-key", "X-Key", "Host", "TE"]), texts)
values = st.one_of(st.sampled_from(["", " a ", "Bearer env:A", "\u00e9\t", "text:env:B"]), texts)
pairs = st.dictionaries(names, values, max_size=2)
endpoints = st.one_of(
    st.builds(HttpTransport, url=urls, headers=st.dictionaries(plain, values, max_size=2)),
    st.builds(HttpTransport, url=urls, headers=pairs, allow_private=st.booleans()),
    st.builds(HttpTransport, url=odd_urls, allow_private=st.booleans()),
)
processes = st.builds(
    StdioTransport,
    command=st.lists(st.one_of(plain, texts), max_size=4).map(tuple),
    env=pairs,
    cwd=st.sampled_from(["", "/", "tmp", "/t\0mp"]),
)
T = TypeVar("T")


class Literals(SecretRefs):
    """References stand for a secret that any header and any variable may hold."""

    def resolve(self, value: str) -> str:
        return "s3cret" if reference(value) else super().resolve(value)


class Parsed:
    """What an HTTP server reads of a request."""

    def __init__(self, wire: bytes) -> None:
        self.target, self.headers, self.whole = b"", [], False
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(wire)

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_message_complete(self) -> None:
        self.whole = True


def refusal(judge: Callable[[T], object], transport: T) -> str:
    """What to do about a definition that is refused; "" for one that is taken."""
    try:
        judge(transport)
    except (Invalid, UpstreamUnreachable) as refused:
        return refused.remedy or "no remedy"
    return ""


@given(endpoints)
@example(HttpTransport(url="https://a.example/mcp", headers={"X": "\x85\u00a0a"}))
@example(HttpTransport(url="https://a.example:443?x", headers={"A": "Bearer env:A"}))
def test_an_endpoint_that_is_registered_is_asked_in_one_whole_request_of_its_own_headers(
    transport: HttpTransport,
) -> None:
    refused = refusal(check_transport, transport)
    assert refused == refusal(read_endpoint, transport) != "no remedy"
    if refused:
        return
    endpoint = read_endpoint(transport)
    own = head_lines({k: Literals().resolve(v) for k, v in transport.headers.items()})
    parsed = Parsed(request_wire(RequestHeads(endpoint, own, "1").legacy, b"{}"))
    assert parsed.whole
    assert parsed.target == endpoint.path.encode()
    told = [name for name, _ in parsed.headers]
    assert len(told) == len(set(told))
    assert set(told) >= {name.lower().encode() for name in transport.headers}
    assert dict(parsed.headers)[b"host"] == endpoint.authority.encode()
    # A name that no resolver can be asked for would be an upstream's fault at each attempt.
    assert endpoint.host.encode("idna").decode() == endpoint.host


@given(processes)
@example(StdioTransport(command=("a", "\u2603\n"), env={"A": "\x01"}))
def test_a_process_that_is_registered_can_be_given_its_words_and_variables(
    transport: StdioTransport,
) -> None:
    refused = refusal(check_transport, transport)
    assert refused != "no remedy"
    if refused:
        return
    env = {name: Literals().resolve(value) for name, value in transport.env.items()}
    ran = subprocess.run(
        ["/bin/echo", *transport.command], env=env, capture_output=True, check=True
    )
    assert ran.returncode == 0
