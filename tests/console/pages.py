"""The console as a browser asks it, over plain HTTP: a cookie, an origin, forms."""

from urllib.parse import urlencode

from tests.gate import Answer, Client
from tests.integration.admin_house import House

from gatelodge.web.console.face import COOKIE

HOME = "/console/w/main"


class Visitor:
    """Somebody with a browser; `enter` signs them in."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.port = house.gate.port
        self.cookie = ""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        given = {"cookie": f"{COOKIE}={self.cookie}"} if self.cookie else {}
        if method != "GET":
            given["origin"] = self.origin
        if body:
            given["content-type"] = "application/x-www-form-urlencoded"
        sent = {**given, **{name.replace("_", "-"): text for name, text in headers.items()}}
        return Client(self.port, "", path).send(method, body, {k: v for k, v in sent.items() if v})

    def page(self, path: str = "/") -> str:
        answer = self.ask("GET", HOME + path)
        assert answer.status == 200, (path, answer.status, answer.body)
        return answer.body.decode()

    def send(self, path: str, **form: str) -> Answer:
        return self.ask("POST", HOME + path, urlencode(form).encode())

    def enter(self, token: str) -> Answer:
        answer = self.ask("POST", "/console/session", authorization=f"Bearer {token}")
        if answer.status == 204:
            self.cookie = cookie_of(answer)
        return answer


def cookie_of(answer: Answer) -> str:
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == COOKIE
    return rest.partition(";")[0].strip('"')
