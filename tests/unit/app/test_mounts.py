"""Each request reaches the face that is mounted where its target points."""

import pytest

from gatelodge.app.faces import ServedFaces
from gatelodge.web.endpoint.http.request import HttpRequest
from gatelodge.web.front import SocketFront


class Face:
    """Keeps what it was asked."""

    def __init__(self, name):
        self.name, self.heard = name, []

    def receive(self, _connection, _request):
        self.heard.append("receive")

    def judge(self, _connection, _request):
        self.heard.append("judge")

    def crowded(self, _request):
        self.heard.append("crowded")

    def turn_away(self, _connection, _request, _fault):
        self.heard.append("turn_away")

    def gone(self, _request):
        self.heard.append("gone")


FACES = ("endpoint", "api", "console", "local")


def asked(front, faces, target):
    """Which face hears all that can happen to a request for this target."""
    request = HttpRequest(target=target)
    front.receive(None, request)
    front.judge(None, request)
    front.crowded(request)
    front.gone(request)
    front.turn_away(None, request, "malformed")
    heard = {face.name: face.heard[:] for face in faces if face.heard}
    for face in faces:
        face.heard.clear()
    (name,) = {each for each, told in heard.items() if told[:4]}
    assert heard[name] == ["receive", "judge", "crowded", "gone", "turn_away"]
    return name


@pytest.mark.parametrize(
    ("target", "shared", "apart"),
    [
        (b"/k/home/mcp", "endpoint", "endpoint"),
        (b"/k/", "endpoint", "endpoint"),
        (b"/k", "api", "endpoint"),
        (b"/K/home/mcp", "api", "endpoint"),
        (b"/api/v1/me", "api", "endpoint"),
        (b"/console/", "console", "endpoint"),
        (b"/nowhere", "api", "endpoint"),
        (b"*", "api", "endpoint"),
    ],
)
def test_the_public_port_refuses_what_nobody_knows_by_its_last_mount(target, shared, apart):
    faces = [Face(name) for name in FACES]
    served = ServedFaces(*faces)
    assert asked(served.public(apart=False), faces, target) == shared
    assert asked(served.public(apart=True), faces, target) == apart
    assert asked(served.admin(), faces, target) == ("console" if shared == "console" else "api")
    assert asked(served.operator(), faces, target) == "local"


def test_what_was_no_request_at_all_is_answered_by_the_first_mount():
    faces = [Face(name) for name in FACES]
    ServedFaces(*faces).public(apart=False).turn_away(None, HttpRequest(), "malformed")
    assert [face.heard for face in faces] == [["turn_away"], [], [], []]


def test_a_further_application_stands_between_the_endpoint_and_what_takes_the_rest():
    faces = [Face(name) for name in ("endpoint", "scim", "api")]
    front = SocketFront(*zip((b"/k/", b"/scim/", b""), faces, strict=True))
    targets = (b"/k/home/mcp", b"/scim/v2/Users", b"/scim", b"/api")
    told = [asked(front, faces, each) for each in targets]
    assert told == ["endpoint", "scim", "api", "api"]


def test_a_table_that_leaves_a_target_without_a_face_is_no_table():
    with pytest.raises(AssertionError, match="no face"):
        SocketFront((b"/k/", Face("endpoint")))
