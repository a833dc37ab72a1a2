"""Artifacts: have an image built of a package, see the images that there are, compare two.

Building fetches what somebody else wrote, and takes room and time: over the network it is for the
sources that a setting names (`hosting.api_sources`).
"""

from typing import Final, Self

import msgspec
from litestar import get, post
from msgspec import Struct

from gatelodge.core.catalog.server import ArtifactTransport, Server
from gatelodge.core.errors import Conflict, Forbidden, NotFound
from gatelodge.core.hosting.materials import ImageMaterial, MaterialChange, changed_materials
from gatelodge.core.hosting.source import check_image, read_source
from gatelodge.core.instant import rfc3339
from gatelodge.core.people import Workspace
from gatelodge.flows.hosting.artifacts import ArtifactWish
from gatelodge.flows.jobs.kinds import ARTIFACT
from gatelodge.ports.images import KeptImage
from gatelodge.ports.store import StoreTx
from gatelodge.web.api.context import AdminContext, WorkspaceContext, bounds_of
from gatelodge.web.api.house.jobs import JobShape, shape_of_job
from gatelodge.web.api.pages import PAGE, ItemPage, PageRequest, page
from gatelodge.web.api.parameters import Asks, Flag, Here, JSONBody, Limits, Named

_SHORTEST: Final = 6
"""Of the beginning of a digest that names an image."""
_READ: Final = {"act": "server.read"}


class ImageShape(Struct, frozen=True, kw_only=True):
    """An image that is kept. `size` is bytes, `used_by` the servers of this workspace with it.

    `run_scripts` are the packages whose own scripts ran when it was built.
    """

    image: str
    source: str
    size: int
    built: str
    used_by: tuple[str, ...]
    run_scripts: tuple[str, ...] = ()


class ImageDetail(ImageShape, frozen=True, kw_only=True):
    """An image with what was asked for, its own command, and what it is made of."""

    script: str
    programs: tuple[str, ...]
    command: tuple[str, ...]
    lock: str
    sbom: str
    materials: tuple[ImageMaterial, ...]


class ImageDocuments(Struct, frozen=True, kw_only=True):
    """What an image was installed by, and its bill of materials, as texts."""

    image: str
    lock: str
    sbom: str


class ImageDifference(Struct, frozen=True, kw_only=True):
    """What of the packages differs between two images, and their sizes in bytes."""

    before: str
    after: str
    size_before: int
    size_after: int
    changes: tuple[MaterialChange, ...]


class BuildSandbox(Struct, frozen=True, kw_only=True):
    """Whether tools that fetch packages are kept apart from the gate; else why, and what to do."""

    confined: bool
    says: str = ""
    remedy: str = ""


class RemovedImage(Struct, frozen=True, kw_only=True):
    """An image that was removed, or would be; `freed` bytes of the disk."""

    image: str
    source: str
    freed: int
    dry_run: bool = False


@post("/artifacts", opt={"act": "server.register"}, status_code=202)
async def build(place: Here, data: JSONBody[ArtifactWish]) -> JobShape:
    """Have an image built of a package: a job whose result names the image."""
    data.check_words()
    gate, caller = place.gate, place.caller
    if not caller.local and data.run_scripts:
        raise Forbidden(
            "only the operator on the gate's own machine may have scripts of packages run",
            remedy="Run it there, without --url.",
        )
    if not caller.local and not bounds_of(gate.settings).allows_source(data.source):
        raise Forbidden(
            f"only the operator on the gate's own machine may have {data.source} built",
            remedy="Run it there, without --url; or see hosting.api_sources.",
        )
    asked = msgspec.json.encode(data)
    job = await gate.jobs.start(ARTIFACT, caller.by, place.id, asked, subject=data.subject)
    return shape_of_job(job)


@get("/artifacts/sandbox", opt=_READ)
async def sandbox(place: Here) -> BuildSandbox:
    """Whether this node keeps what fetches packages apart from itself, by a trial."""
    gap = await place.gate.artifacts.gap()
    if gap is None:
        return BuildSandbox(confined=True)
    return BuildSandbox(confined=False, says=gap.says, remedy=gap.remedy)


@get("/images", opt=_READ)
async def listed(place: Here, limit: Limits = PAGE, cursor: Asks = "") -> ItemPage[ImageShape]:
    """List the images, newest first; to a member those of packages that the workspace has."""
    seen = await _seen_images(place)
    rows = [each for each in await place.gate.images.images() if seen.shows(each)]
    asked = PageRequest(limit, cursor)
    return page(rows, lambda each: each.image, lambda each: _shape_of_image(each, seen), asked)


@get("/images/{image:str}", opt=_READ)
async def show(place: Here, image: Named) -> ImageDetail:
    """Show one image, with what it is made of."""
    kept, seen = await _visible_image(place, image)
    shape = _shape_of_image(kept, seen)
    wish = ArtifactWish.of_subject(kept.wish or kept.source)
    return ImageDetail(
        **{name: getattr(shape, name) for name in ImageShape.__struct_fields__},
        script=wish.script,
        programs=wish.programs,
        command=kept.command,
        lock=kept.lock,
        sbom=kept.sbom,
        materials=await place.gate.images.materials(kept.image),
    )


@get("/images/{image:str}/documents", opt=_READ)
async def documents(place: Here, image: Named) -> ImageDocuments:
    """The lock and the bill of materials (CycloneDX) of an image."""
    kept, _ = await _visible_image(place, image)
    texts = [
        (await place.gate.images.document(each)).decode("utf-8", "replace") if each else ""
        for each in (kept.lock, kept.sbom)
    ]
    return ImageDocuments(image=kept.image, lock=texts[0], sbom=texts[1])


@get("/images/{image:str}/diff/{other:str}", opt=_READ)
async def diff(place: Here, image: Named, other: Named) -> ImageDifference:
    """What of the packages is another one in the second image than in the first."""
    before, _ = await _visible_image(place, image)
    after, _ = await _visible_image(place, other)
    images = place.gate.images
    old, new = await images.materials(before.image), await images.materials(after.image)
    return ImageDifference(
        before=before.image,
        after=after.image,
        size_before=before.size,
        size_after=after.size,
        changes=changed_materials(old, new),
    )


@post("/images/{image:str}/remove", opt={"act": "local"}, status_code=200)
async def remove(place: Here, image: Named, *, dry_run: Flag = False) -> RemovedImage:
    """Remove an image that no server has, with what no other image needs."""
    kept, _ = await _visible_image(place, image)
    users = (await place.gate.read(_images_of_house)).users
    if kept.image in users:
        raise Conflict(
            f"the image is used by {', '.join(users[kept.image])}",
            remedy="Change or remove those servers first.",
        )
    freed = kept.size if dry_run else await place.gate.images.remove(kept.image)
    return RemovedImage(image=kept.image, source=kept.source, freed=freed, dry_run=dry_run)


async def check_transport_image(gate: AdminContext, transport: object) -> None:
    """Refuse an artifact whose image is not here, or is of another source. Raises Conflict."""
    if not isinstance(transport, ArtifactTransport):
        return
    check_image(transport.image)
    kept = {each.image: each for each in await gate.images.images()}.get(transport.image)
    if kept is None or kept.source != transport.source:
        raise Conflict(
            f"{transport.image[:19]} is no image of {transport.source} that is kept here",
            remedy="See `gatelodge image list`; have it built: gatelodge server add ALIAS SOURCE.",
        )
    if _scripts_of(kept) != tuple(sorted(set(transport.run_scripts))):
        ran = ", ".join(_scripts_of(kept)) or "none"
        raise Conflict(
            f"the scripts that ran for {transport.image[:19]} are not those that were said: {ran}",
            remedy="Say run_scripts as `gatelodge image show` tells it.",
        )


async def visible_image(place: WorkspaceContext, wanted: str) -> KeptImage:
    """The image of this digest, or of its beginning. Raises NotFound, also for one of others."""
    return (await _visible_image(place, wanted))[0]


class _SeenImages(Struct, frozen=True):
    """Which images servers have, by alias, and of which packages they are."""

    users: dict[str, tuple[str, ...]]
    packages: frozenset[tuple[str, str]]
    everything: bool = False

    @classmethod
    def of(cls, servers: list[Server], *, everything: bool = False) -> Self:
        users: dict[str, tuple[str, ...]] = {}
        packages = set()
        for each in servers:
            if isinstance(each.transport, ArtifactTransport):
                users[each.transport.image] = (*users.get(each.transport.image, ()), each.alias)
                packages.add(_package_of(each.transport.source))
        return cls(users, frozenset(packages), everything)

    def shows(self, kept: KeptImage) -> bool:
        # Also other versions: an image is rolled back to one that no server has.
        mine = kept.image in self.users or _package_of(kept.source) in self.packages
        return self.everything or mine


def _package_of(source: str) -> tuple[str, str]:
    found = read_source(source)
    return found.kind, found.name


async def _seen_images(place: WorkspaceContext) -> _SeenImages:
    def look(tx: StoreTx) -> _SeenImages:
        servers = tx.find(Server, workspace=place.id)
        return _SeenImages.of(servers, everything=place.caller.local)

    return await place.gate.read(look)


def _images_of_house(tx: StoreTx) -> _SeenImages:
    places = tx.find(Workspace)
    return _SeenImages.of([row for each in places for row in tx.find(Server, workspace=each.id)])


async def _visible_image(place: WorkspaceContext, wanted: str) -> tuple[KeptImage, _SeenImages]:
    """The image of this digest, or of its beginning. Raises NotFound, also for one of others."""
    seen, digest = await _seen_images(place), wanted.removeprefix("sha256:")
    every = await place.gate.images.images()
    found = [each for each in every if each.image.removeprefix("sha256:").startswith(digest)]
    mine = [each for each in found if seen.shows(each)]
    if len(mine) != 1 or len(digest) < _SHORTEST:
        raise NotFound(f"there is no image {wanted[:80]!r}", remedy="See `gatelodge image list`.")
    return mine[0], seen


def _scripts_of(kept: KeptImage) -> tuple[str, ...]:
    return ArtifactWish.of_subject(kept.wish or kept.source).run_scripts


def _shape_of_image(kept: KeptImage, seen: _SeenImages) -> ImageShape:
    return ImageShape(
        image=kept.image,
        source=kept.source,
        size=kept.size,
        built=rfc3339(kept.built),
        used_by=seen.users.get(kept.image, ()),
        run_scripts=_scripts_of(kept),
    )


ROUTES = (build, sandbox, listed, show, documents, diff, remove)
