"""An image starts by an approved card of its workspace, and by nothing else."""

import asyncio
from typing import Any

import pytest

from gatelodge.core.errors import UpstreamUnreachable
from gatelodge.core.ids import CardId, Instant, WorkspaceId
from gatelodge.core.trust.card import TrustCard
from gatelodge.flows.trust.admission import AdmittedRuntimes
from gatelodge.ports.runtime import LaunchSpec

IMAGE = "sha256:" + "1" * 64
NOW = Instant(1_000)


class KeptCards:
    """A store that holds these cards, and answers as a store does."""

    def __init__(self, *rows: TrustCard) -> None:
        self._rows = rows

    def find(self, _noun: type[TrustCard], workspace: str, image: str) -> list[TrustCard]:
        return [each for each in self._rows if (each.workspace, each.image) == (workspace, image)]

    async def read(self, work: Any) -> Any:
        return work(self)


class StartedSpecs:
    def __init__(self) -> None:
        self.specs: list[LaunchSpec] = []

    async def start(self, spec: LaunchSpec, *_: object) -> str:
        self.specs.append(spec)
        return "started"


class FixedClock:
    def now(self) -> Instant:
        return NOW


def card(status: Any, **fields: Any) -> TrustCard:
    given = {"image": IMAGE, "workspace": WorkspaceId("wsp_1"), "until": Instant(0), **fields}
    return TrustCard(
        id=CardId("car_1"),
        source="pypi:x@1",
        evidence="",
        method="trust/1",
        grade="B",
        tenths=1,
        coverage=1,
        exposure="",
        headline="",
        status=status,
        created_at=Instant(0),
        **given,
    )


def starts(*rows: TrustCard, image: str = IMAGE) -> bool:
    below: Any = StartedSpecs()
    store: Any = KeptCards(*rows)
    clock: Any = FixedClock()
    spec = LaunchSpec(server="srv_1", workspace="wsp_1", command=(), env={}, image=image)
    nothing: Any = None
    try:
        asyncio.run(AdmittedRuntimes(below, store, clock).start(spec, nothing, nothing))
    except UpstreamUnreachable as fault:
        return not fault.remedy
    return bool(below.specs)


@pytest.mark.parametrize(
    ("rows", "may"),
    [
        ((), False),
        ((card("made"),), False),
        ((card("approved"),), True),
        ((card("approved"), card("made")), True),
        ((card("approved"), card("rejected")), False),
        ((card("rejected"), card("approved")), True),
        ((card("approved"), card("rejected"), card("made")), False),
        ((card("approved", until=Instant(NOW + 1)),), True),
        ((card("approved", until=NOW),), False),
        ((card("approved", workspace="wsp_2"),), False),
        ((card("approved", image="sha256:" + "2" * 64),), False),
    ],
)
def test_an_image_starts_when_an_approved_card_admits_it(
    rows: tuple[TrustCard, ...], may: bool
) -> None:
    assert starts(*rows) is may


def test_a_program_of_this_machine_has_no_card_and_starts() -> None:
    assert starts(image="")
