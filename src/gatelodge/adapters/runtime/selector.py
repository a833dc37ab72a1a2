"""Which runtime starts what: by what the definition asks for, the settings, and a trial start.

Backends are made when they are first asked for: most gates need one of them, or none.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from gatelodge.config.schema import HostingSettings
from gatelodge.core.errors import LaunchRefused, UpstreamUnreachable
from gatelodge.core.hosting.facts import TIERS, IsolationTier
from gatelodge.ports.runtime import (
    EgressReport,
    LaunchSpec,
    ProbedRuntime,
    Runtime,
    RuntimeGap,
    RuntimeInstance,
    RuntimeOffer,
)

_AUTO = ("oci", "landlock")
"""What `auto` tries, the strongest first."""
_SANDBOX = "landlock"
"""What runs commands of this machine where they shall be kept apart."""
_LOOK_AGAIN_SECONDS = 60.0
"""A runtime that could do nothing is tried again after this: somebody may have mended the host."""
_DOCTOR = "See what this machine can isolate, and what to do about it: gatelodge doctor."
_PRODUCTION = (
    "Host it from a package (gatelodge server add ALIAS pypi:NAME@VERSION), or set "
    "hosting.plain_commands to sandbox."
)

BackendMakers = Mapping[str, Callable[[], ProbedRuntime]]
LeftoverChecks = Mapping[str, Callable[[], bool]]
"""By the name of a runtime: whether an earlier gate may have left something of it. Cheap."""


class RuntimeSelector:
    """Implements `Runtime` over the runtimes of this machine. On one event loop."""

    def __init__(
        self,
        settings: HostingSettings,
        process: Runtime,
        backends: BackendMakers,
        left: LeftoverChecks | None = None,
    ) -> None:
        """`backends` makes each by its name in the settings; each is made once at most.

        One that has `left` something is made at once, whatever the settings use now.
        """
        self._left = left or {}
        self._settings = settings
        self._process = process
        self._makers = backends
        self._made: dict[str, ProbedRuntime] = {}
        self._offers: dict[str, tuple[float, asyncio.Task[RuntimeOffer]]] = {}
        self._known: frozenset[str] | None = None

    async def start(
        self,
        spec: LaunchSpec,
        output: asyncio.Protocol,
        errors: asyncio.Protocol,
        report: EgressReport | None = None,
    ) -> RuntimeInstance:
        """Start it on the runtime that it needs. Raises UpstreamUnreachable when there is none."""
        runtime = await self._runtime_for(spec)
        return await runtime.start(spec, output, errors, report)

    def instances(self) -> tuple[RuntimeInstance, ...]:
        """All that any of them started."""
        return tuple(each for runtime in self._every() for each in runtime.instances())

    def keep(self, servers: frozenset[str]) -> None:
        """Remove what is left of all other servers, wherever they ran."""
        if self._known is None:
            # They may hold what an earlier gate left, whether anything is started now or not.
            for name in self._makers:
                if name == self._settings.runtime or self._left.get(name, _nothing_left)():
                    with contextlib.suppress(UpstreamUnreachable):
                        self._backend(name)
        self._known = servers
        for runtime in self._every():
            runtime.keep(servers)

    async def close(self) -> None:
        """Wait for what is being removed."""
        trials = [trial for _, trial in self._offers.values() if not trial.done()]
        for trial in trials:
            trial.cancel()
        if trials:
            await asyncio.wait(trials)
        await asyncio.gather(*(runtime.close() for runtime in self._every()))

    async def offers(self) -> tuple[RuntimeOffer, ...]:
        """What each that the settings allow can do here, as it was found by trying."""
        names = list(self._allowed())
        if self._settings.plain_commands == "sandbox" and _SANDBOX not in names:
            names.append(_SANDBOX)
        return tuple([await self._offer_of(name) for name in names])

    def _every(self) -> tuple[Runtime, ...]:
        return (self._process, *self._made.values())

    async def _runtime_for(self, spec: LaunchSpec) -> Runtime:
        if not spec.image:
            return self._plain()
        lacking = []
        for name in self._allowed():
            offer = await self._offer_of(name)
            if any(_is_enough(tier, spec.tier) for tier in offer.tiers):
                return self._backend(name)
            lacking += [gap.says for gap in offer.gaps]
        told = f" ({' '.join(lacking[:3])})" if lacking else ""
        raise UpstreamUnreachable(
            f"Nothing here offers the isolation that this server asks for: {spec.tier}{told}.",
            remedy=_DOCTOR,
        )

    def _allowed(self) -> tuple[str, ...]:
        wished = self._settings.runtime
        return _AUTO if wished == "auto" else (wished,)

    def _plain(self) -> Runtime:
        if self._settings.plain_commands == "sandbox":
            return self._backend(_SANDBOX)
        if self._settings.production:
            raise LaunchRefused(
                "This gate is in production (hosting.production), where no server is started as a "
                "plain child process.",
                remedy=_PRODUCTION,
            )
        return self._process

    def _backend(self, name: str) -> ProbedRuntime:
        made = self._made.get(name)
        if made is None:
            try:
                made = self._made[name] = self._makers[name]()
            except ImportError as lacking:
                raise UpstreamUnreachable(
                    f"The runtime {name} wants a package that is not installed ({lacking.name}).",
                    remedy=f"Install it: pip install 'gatelodge[{name}]'",
                ) from lacking
            if self._known is not None:
                made.keep(self._known)
        return made

    async def _offer_of(self, name: str) -> RuntimeOffer:
        """What it can do; one trial is for all who ask meanwhile."""
        if name not in self._makers:
            return RuntimeOffer(runtime=name, gaps=(RuntimeGap(f"{name} is not in this release."),))
        loop = asyncio.get_running_loop()
        began, trial = self._offers.get(name, (0.0, None))
        if trial is not None and trial.done() and _useless(trial):
            trial = trial if loop.time() - began < _LOOK_AGAIN_SECONDS else None
        if trial is None:
            trial = loop.create_task(self._try_runtime(name))
            self._offers[name] = loop.time(), trial
        # Whoever asks may be cancelled, and others wait for the same trial.
        return await asyncio.shield(trial)

    async def _try_runtime(self, name: str) -> RuntimeOffer:
        try:
            return await self._backend(name).probe()
        except UpstreamUnreachable as fault:
            return RuntimeOffer(runtime=name, gaps=(RuntimeGap(fault.detail, fault.remedy),))


def _nothing_left() -> bool:
    return False


def _useless(trial: "asyncio.Task[RuntimeOffer]") -> bool:
    failed = trial.cancelled() or trial.exception() is not None
    return failed or not trial.result().tiers


def _is_enough(offered: IsolationTier, wanted: IsolationTier) -> bool:
    return TIERS.index(offered) >= TIERS.index(wanted)
