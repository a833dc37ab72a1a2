"""What one instance of a hosted server may take of its machine."""

from typing import Annotated

from msgspec import Meta, Struct


class InstanceLimits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bounds that the kernel keeps: memory (swap included), processor, processes, `/tmp`.

    The first start after a cold page cache is charged up to four times what a server keeps, so
    memory needs slack.
    """

    memory_mib: Annotated[int, Meta(ge=16, le=1 << 20)] = 256
    cpus: Annotated[float, Meta(ge=0.05, le=1024)] = 1.0
    processes: Annotated[int, Meta(ge=8, le=1 << 16)] = 64
    tmp_mib: Annotated[int, Meta(ge=1, le=1 << 16)] = 16


def limits_in_words(limits: InstanceLimits) -> str:
    """The limits as one line."""
    return (
        f"memory {limits.memory_mib} MiB, {limits.cpus:g} CPU, {limits.processes} processes, "
        f"{limits.tmp_mib} MiB of temporary files"
    )
