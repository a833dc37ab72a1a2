"""Integrity: that what runs is one thing, the thing that was looked at, and nothing besides."""

from collections.abc import Iterable

from gatelodge.core.trust.evidence import PackageEvidence, TrustEvidence
from gatelodge.core.trust.signals.reading import SignalReading, not_known, read_from


def read_integrity(found: TrustEvidence) -> Iterable[SignalReading]:
    """IN1 to IN4."""
    launch, package = found.launch, found.package
    if launch is None:
        yield not_known("IN1", "How it would be started is not known.")
    elif launch.exact:
        yield read_from(launch, "IN1", 1.0, "exact", "Each start is of the same version.")
    else:
        yield read_from(
            launch,
            "IN1",
            0.0,
            "not exact",
            "Each start may fetch another version.",
            "Name an exact version, or a digest.",
        )
    if package is None:
        why = found.gaps.get("package", "Its package was not read.")
        yield from (not_known(each, why) for each in ("IN2", "IN3", "IN4"))
        return
    yield _digest(package)
    yield _install_time(package)
    yield _lock(package)


def _digest(package: PackageEvidence) -> SignalReading:
    if package.digests or package.image:
        seen = package.digests[0] if package.digests else package.image
        return read_from(
            package, "IN2", 1.0, seen, "The bytes that are started are of this digest."
        )
    return read_from(
        package,
        "IN2",
        0.0,
        "no digest",
        "Nothing says which bytes were looked at.",
        "Have the gate build it: gatelodge server add ALIAS SOURCE.",
    )


def _install_time(package: PackageEvidence) -> SignalReading:
    ran, scripts = package.scripts_ran, package.install_scripts
    if ran or not package.prebuilt:
        names = ", ".join(ran) or "a build from source"
        return read_from(
            package,
            "IN3",
            0.0,
            f"ran: {names}",
            "Code of these packages ran when it was installed, without a network.",
            "Take a version that needs none, or read those scripts.",
        )
    if scripts:
        return read_from(
            package,
            "IN3",
            0.5,
            f"not run: {', '.join(scripts)}",
            "They ask for scripts at installation; none ran here, elsewhere they would.",
            "Take a version that needs none.",
        )
    return read_from(package, "IN3", 1.0, "none", "Nothing of it runs when it is installed.")


def _lock(package: PackageEvidence) -> SignalReading:
    if package.locked:
        return read_from(
            package,
            "IN4",
            1.0,
            f"{package.packages} packages locked",
            "All that it needs is kept by version and digest: it starts as it was looked at.",
        )
    if package.sdk_bounded:
        return read_from(
            package, "IN4", 1.0, package.sdk, "What it asks for ends before the next large release."
        )
    return read_from(
        package,
        "IN4",
        0.0,
        package.sdk or "open",
        "What it needs may be another thing at the next installation.",
        "Have the gate build it: what it needs is kept with it then.",
    )
