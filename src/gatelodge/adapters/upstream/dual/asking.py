"""What is known of a server that speaks both eras: in which of them each of its tools can ask.

Learned from answers to members' calls, kept in memory by each node (decision 0020).
"""

from collections import OrderedDict

from gatelodge.core.protocol.bridge.both_eras import AskingSign
from gatelodge.core.protocol.version import MODERN, Era
from gatelodge.ports.upstream import UpstreamRequest

MOST = 1024
"""Tools, prompts and resources of one server that are remembered."""
LONGEST_NAME = 1024
"""Characters of a name, or of a URI that a caller made up, that is remembered."""
_MOST_NAMED = 5
_NO_SESSION = (
    "It keeps no session in a legacy revision, so it can ask nothing there: "
    f"clients that can be asked something are served in {MODERN}."
)
Thing = tuple[str, str]
"""A method, and what it names."""


class AskingEras:
    """By tool, prompt or resource; whatever asked in neither is not known."""

    def __init__(self) -> None:
        self._known: OrderedDict[Thing, AskingSign] = OrderedDict()

    def of(self, request: UpstreamRequest) -> Era | None:
        """The era in which this request's tool can ask; None = not known."""
        found = self._known.get(_key_of_request(request))
        return None if found is None else found.era

    def learn(self, request: UpstreamRequest, sign: AskingSign) -> bool:
        """Remember; false when it was known, or is contradicted by something surer.

        Of two unsure signs for different eras the tool simply fails in both: the later one is not
        believed, so that it is not spoken to in turns.
        """
        thing = _key_of_request(request)
        before = self._known.get(thing)
        if before is not None and before.era == sign.era:
            self._known[thing] = before if before.sure else sign
            return False
        if len(request.name) > LONGEST_NAME or (before is not None and not sign.sure):
            return False
        self._known[thing] = sign
        # Callers make URIs up, so there is a bound; what is forgotten is learned anew.
        if len(self._known) > MOST:
            self._known.popitem(last=False)
        return True

    def told(self, *, pushes: bool) -> str:
        """For an admin: which of its tools ask in which era; empty when nothing is known.

        `pushes` is false when none can in a legacy era.
        """
        if not pushes:
            return _NO_SESSION
        parts = []
        for era, said in (("modern", MODERN), ("legacy", "a legacy revision")):
            names = sorted(
                name
                for (method, name), sign in self._known.items()
                if sign.era == era and method == "tools/call"
            )
            if names:
                more = f" and {len(names) - _MOST_NAMED} more" if names[_MOST_NAMED:] else ""
                listed = ", ".join(names[:_MOST_NAMED])
                parts.append(f"Only in {said} a client is asked by {listed}{more}.")
        return " ".join(parts)


def _key_of_request(request: UpstreamRequest) -> Thing:
    return request.method, request.name
