"""The job that makes an image of a package: fetched, laid out, put into layers, kept.

What was built for the same wish is taken from the store, without asking anybody outside. A node
that dies leaves nothing that is used: the work begins anew.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Self

import msgspec
from msgspec import Struct, structs

from gatelodge.core.errors import HouseError, Invalid
from gatelodge.core.hosting.scripts import check_scripts
from gatelodge.core.hosting.source import ArtifactSource, SourceKind, read_source
from gatelodge.flows.jobs.kinds import KEEP_SECONDS, JobProgress
from gatelodge.ports.images import ImageKeeper, ImageRecipe, KeptImage
from gatelodge.ports.packages import FileFetcher, ImagePuller, PackageInstaller, StageReport
from gatelodge.ports.runtime import RuntimeGap
from gatelodge.ports.world import Clock

MOST_PROGRAMS: Final = 16
STAGES: Final = ("resolve", "fetch", "install", "scripts", "compile", "layers", "ready")


class ArtifactWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be built: a package, which of its programs, and which programs beside it.

    `run_scripts` are the packages whose own scripts run when they are installed.
    `rebuild` asks where packages come from also when the same was built before.
    """

    source: str
    script: str = ""
    programs: tuple[str, ...] = ()
    run_scripts: tuple[str, ...] = ()
    rebuild: bool = False

    @property
    def subject(self) -> str:
        """All of it but `rebuild` in one line; equal for equal wishes."""
        more = [f"program={each}" for each in sorted(set(self.programs))]
        more += [f"run-scripts={each}" for each in sorted(set(self.run_scripts))]
        return " ".join((self.source, *([f"script={self.script}"] if self.script else ()), *more))

    @classmethod
    def of_subject(cls, subject: str) -> Self:
        """The wish whose subject that is."""
        source, *words = subject.split(" ")
        said = [word.partition("=") for word in words]
        return cls(
            source=source,
            script="".join(value for name, _, value in said if name == "script"),
            programs=tuple(value for name, _, value in said if name == "program"),
            run_scripts=tuple(value for name, _, value in said if name == "run-scripts"),
        )

    def check_words(self) -> None:
        """Refuse what names nothing that can be built. Raises Invalid."""
        source = read_source(self.source)
        if source.file and source.name[0] != "/":
            raise Invalid(
                f"{self.source[:80]!r} names no file by its whole path",
                remedy="Write the path of a file on the gate's own machine, from / on.",
            )
        check_scripts(self.run_scripts, source)
        if len(self.programs) > MOST_PROGRAMS:
            raise Invalid(f"programs: at most {MOST_PROGRAMS}")
        for each in (self.script, *self.programs):
            if not each.isascii() or any(c.isspace() or c in "/\0" for c in each) or len(each) > 80:
                raise Invalid(f"{each[:40]!r} is no name of a program")


class BuildStage(Struct, frozen=True, kw_only=True):
    """One step of a build, and how long it took."""

    name: str
    milliseconds: int


class BuiltArtifact(Struct, frozen=True, kw_only=True):
    """An image, where it is from, and how it came about; `size` is bytes as it is kept.

    `reused` = it was there, and nobody outside was asked. `unconfined` is why the tools ran as the
    gate's own user; empty when they were kept apart from it. `run_scripts` are the packages whose
    own scripts ran.
    """

    image: str
    source: str
    size: int
    packages: int
    reused: bool
    stages: tuple[BuildStage, ...]
    unconfined: str = ""
    run_scripts: tuple[str, ...] = ()


class _BuildStages:
    """The steps of one build as they pass; told on at least once a second."""

    def __init__(self, progress: JobProgress, clock: Clock, asked: bytes) -> None:
        self._progress = progress
        self._clock = clock
        self._asked = asked
        self._began = clock.boottime()
        self._now = self._said = ""
        self.passed: list[BuildStage] = []

    async def begin_stage(self, said: str) -> None:
        """A step by its first word; what follows tells how far it is."""
        at, name = self._clock.boottime(), said.partition(" ")[0]
        if self._now and name != self._now:
            spent = round((at - self._began) * 1000)
            self.passed.append(BuildStage(name=self._now, milliseconds=spent))
        if name != self._now:
            self._began, self._now = at, name
        self._said = said
        await self.tell()

    async def tell(self) -> None:
        place = STAGES.index(self._now) if self._now in STAGES else 0
        # The same was asked for, however far it is: a build that is taken up begins anew.
        await self._progress.reached(self._said, place, len(STAGES) - 1, lambda: self._asked)

    async def repeat(self) -> None:
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            await self.tell()


class ArtifactBuild(Struct, frozen=True, kw_only=True):
    """What builds work with; `always` are runtimes that each image has, whatever it wants."""

    always: tuple[str, ...] = ()
    keeper: ImageKeeper
    installers: Mapping[SourceKind, PackageInstaller]
    registries: ImagePuller
    files: FileFetcher
    clock: Clock
    place: Callable[[str], Any]
    """What a name of a file on this machine means."""
    gap: Callable[[], Awaitable[RuntimeGap | None]]
    """Why this machine cannot keep tools apart from the gate; None when it can."""

    async def run(self, progress: JobProgress) -> BuiltArtifact:
        """Build what the job asks for, or find it. Raises Invalid, UpstreamUnreachable, JobLost."""
        wish = msgspec.json.decode(progress.position, type=ArtifactWish)
        stages = _BuildStages(progress, self.clock, progress.position)
        kept = None if wish.rebuild else await self._found(wish)
        if kept is not None:
            return await self._told_of(kept, (), reused=True)
        telling = asyncio.ensure_future(stages.repeat())
        building = asyncio.ensure_future(self._build(wish, stages.begin_stage))
        try:
            await asyncio.wait((telling, building), return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                telling.result()  # raises: this attempt is lost
            made, unconfined = await building
            told = await self._told_of(made, tuple(stages.passed), reused=False)
            return structs.replace(told, unconfined=unconfined)
        finally:
            for each in (telling, building):
                each.cancel()
            await asyncio.gather(telling, building, return_exceptions=True)

    async def build(self, wish: ArtifactWish, report: StageReport) -> BuiltArtifact:
        """The same without a job, for whoever may wait. Raises Invalid, UpstreamUnreachable."""
        kept = await self._found(wish)
        if kept is not None:
            return await self._told_of(kept, (), reused=True)
        began = self.clock.boottime()
        made, unconfined = await self._build(wish, report)
        spent = round((self.clock.boottime() - began) * 1000)
        stages = (BuildStage(name="build", milliseconds=spent),)
        told = await self._told_of(made, stages, reused=False)
        return structs.replace(told, unconfined=unconfined)

    async def _found(self, wish: ArtifactWish) -> KeptImage | None:
        source = read_source(wish.source)
        if source.file:
            return None
        every = await self.keeper.images()
        # An image of a registry may have been found by a tag, which its source does not name.
        said = source.text if source.kind == "oci" else None
        same = (each for each in every if each.wish == wish.subject or each.source == said)
        return next(same, None)

    async def _build(self, wish: ArtifactWish, report: StageReport) -> tuple[KeptImage, str]:
        """The image, and why its tools were not kept apart from the gate, if so."""
        source = read_source(wish.source)
        if source.kind == "oci" and not source.file:
            return await self.registries.pull(source, wish.subject, report), ""
        if source.kind == "url":
            async with self.files.fetched(source, report) as path:
                image = path.suffix == ".tar"
                there = ArtifactSource("oci" if image else "mcpb", str(path))
                return await self._build_here(there, wish, report)
        return await self._build_here(source, wish, report)

    async def _build_here(
        self, source: ArtifactSource, wish: ArtifactWish, report: StageReport
    ) -> tuple[KeptImage, str]:
        """Take an image of this machine's disk, or make one of a package."""
        if source.kind == "oci":
            await report("layers")
            kept = await self.keeper.load(self.place(source.name), wish.source, wish.subject)
            await report("ready")
            return kept, ""
        installer = self.installers.get(source.kind)
        if installer is None:
            raise Invalid(
                f"{wish.source[:80]} is of a kind that is not built in this release",
                remedy=f"There are: {', '.join(sorted(self.installers))}, oci and url.",
            )
        check_scripts(wish.run_scripts, read_source(wish.source))
        laid = installer.laid_out(source, wish.script, report, run_scripts=wish.run_scripts)
        async with laid as package:
            await report("layers")
            own = (package.runtime,) if package.runtime else ()
            recipe = ImageRecipe(
                source=wish.source,
                wish=wish.subject,
                runtimes=tuple(dict.fromkeys((*self.always, *own, *wish.programs))),
                folder=package.folder,
                command=package.command,
                env=package.env,
                lock=package.lock,
                materials=package.materials,
            )
            kept = await self.keeper.build(recipe, installer.compile_bytecode)
            await report("ready")
            return kept, package.unconfined

    async def _told_of(
        self, kept: KeptImage, stages: tuple[BuildStage, ...], *, reused: bool
    ) -> BuiltArtifact:
        try:
            materials = await self.keeper.materials(kept.image)
        except HouseError:
            materials = ()
        return BuiltArtifact(
            image=kept.image,
            source=kept.source,
            size=kept.size,
            packages=sum(bool(each.purl) for each in materials),
            reused=reused,
            stages=stages,
            run_scripts=ArtifactWish.of_subject(kept.wish or kept.source).run_scripts,
        )
