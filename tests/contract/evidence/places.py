"""Places of evidence on this machine, which answer what a test put there, good or bad."""

import asyncio
import json
import ssl
from urllib.parse import unquote

from tests.fakes.world import StillClock
from tests.integration.net.service import OK, Service, redirect, whole

from gatelodge.adapters.evidence.answers import EvidenceAnswers
from gatelodge.adapters.net.fetch import GuardedClient
from gatelodge.core.hosting.source import read_source
from gatelodge.core.instant import parse_rfc3339
from gatelodge.ports.trust.evidence import EvidenceSubject

NOW = parse_rfc3339("2026-11-22T12:00:00Z")


class Place(Service):
    """A service of documents by their path; what a test gives for all paths stands in `bad`."""

    def __init__(self):
        super().__init__()
        self.bad = None
        self.answers = self

    def __getitem__(self, path):
        self.asked_for.append(unquote(path))
        if self.bad is not None:
            return self.bad
        body = self.documents.get(unquote(path))
        return whole(b"none", b"HTTP/1.1 404 Not Found\r\n") if body is None else whole(body)

    async def start(self, *where):
        self.asked_for, self.documents = [], {}
        return await super().start(*where)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def put(self, path, document):
        self.documents[path] = json.dumps(document).encode()

    def kept(self, clock=None, **more):
        """Documents of this place, which an operator allowed to be on this machine."""
        client = GuardedClient(ssl.create_default_context, "1.2")
        return EvidenceAnswers(
            client, clock or StillClock(NOW), frozenset((self.url,)), **{"seconds": 5.0, **more}
        )


def subject(text, index="", **more):
    return EvidenceSubject(source=read_source(text), index=index, **more)


async def _silence(_):
    await asyncio.Event().wait()


async def _flood(writer):
    writer.write(OK + b"transfer-encoding: chunked\r\n\r\n")
    piece = b'100000\r\n{"a":"' + b"x" * (0x100000 - 6) + b"\r\n"
    for _ in range(64):
        writer.write(piece)
        await writer.drain()


DEEP = b'{"name":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
WRONG = (
    b"[]",
    b"null",
    b'"text"',
    b"{}",
    b'{"files":7,"info":[],"versions":"x","name":5,"servers":{},"time":[1]}',
)
FAULTS = {
    "silent": _silence,
    "huge": _flood,
    "cut off": OK + b"content-length: 100\r\n\r\n{",
    "malformed": whole(b'{"name": '),
    "no text": whole(b"\xff\xfe\x00"),
    "deep": whole(DEEP),
    "a page of HTML": whole(b"<!doctype html><title>Sign in</title>"),
    "a login": whole(b"", b"HTTP/1.1 401 No\r\n"),
    "broken": whole(b"", b"HTTP/1.1 503 No\r\n"),
    "no HTTP": b"220 mail ready\r\n",
    "to a private address": redirect("http://10.11.12.13/simple/"),
    "to metadata": redirect("http://169.254.169.254/latest/"),
    "in a circle": redirect("/again"),
    **{f"wrong types {number}": whole(each) for number, each in enumerate(WRONG)},
}
"""What a place may do instead of answering."""
