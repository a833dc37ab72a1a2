"""A stream of events as a browser reads it, over plain HTTP."""

import http.client
import json
from typing import Any

from tests.console.pages import HOME, Visitor

from gatelodge.web.console.face import COOKIE

WAIT = 20.0


class Events:
    """One open stream; `next` is the next message, None at its end."""

    def __init__(
        self, visitor: Visitor, path: str, method: str = "GET", body: bytes = b"", **headers: str
    ) -> None:
        self.link = http.client.HTTPConnection("127.0.0.1", visitor.port, timeout=WAIT)
        given = {"cookie": f"{COOKIE}={visitor.cookie}", **headers}
        self.link.request(method, HOME + path, body, given)
        self.answer = self.link.getresponse()
        self.status = self.answer.status

    def next(self) -> Any:
        while line := self.answer.readline():
            if line.startswith(b"data: "):
                return json.loads(line[6:])
        return None

    def until(self, wanted: Any) -> Any:
        """Read on until a record that `wanted` takes."""
        while (told := self.next()) is not None:
            for each in told["items"]:
                if wanted(each):
                    return each
        return None

    def close(self) -> None:
        self.answer.close()
        self.link.close()
