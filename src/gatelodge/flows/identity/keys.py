"""Which keys this house was made with, as the gov log tells it."""

from collections.abc import Iterable, Mapping

import msgspec

from gatelodge.flows.act import GovernanceAct


class _Enrolled(msgspec.Struct):
    keys: dict[str, str]


class _KeyLeaf(msgspec.Struct):
    t: str
    subject: msgspec.Raw


_leaf = msgspec.json.Decoder(_KeyLeaf)
_enrolled = msgspec.json.Decoder(_Enrolled)


def enrol(act: GovernanceAct, fingerprints: Mapping[str, str]) -> None:
    """Record keys by name and fingerprint: where a log begins, and when a pepper is first seen."""
    act.record("key.enrolled", "", keys=dict(fingerprints))


def enrolled(leaves: Iterable[bytes]) -> dict[str, str]:
    """The fingerprints that these leaves enrolled, the first of each name.

    So of two nodes that add different keys under one name at once, one is refused.
    """
    found: dict[str, str] = {}
    for body in leaves:
        leaf = _leaf.decode(body)
        if leaf.t == "key.enrolled":
            found = {**_enrolled.decode(leaf.subject).keys, **found}
    return found
