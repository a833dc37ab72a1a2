"""What an engine counts of a container, in our words."""

from typing import Any

from gatelodge.ports.runtime import InstanceStats

_NANO = 1e9


def engine_stats(sample: dict[str, Any]) -> InstanceStats:
    """One sample of `GET /containers/ID/stats`; zero for what is not in it."""
    memory, cpu = _part(sample, "memory_stats"), _part(sample, "cpu_stats")
    return InstanceStats(
        memory_bytes=_number(memory, "usage"),
        cpu_seconds=_number(_part(cpu, "cpu_usage"), "total_usage") / _NANO,
        throttled_seconds=_number(_part(cpu, "throttling_data"), "throttled_time") / _NANO,
        processes=_number(_part(sample, "pids_stats"), "current"),
    )


def _part(of: dict[str, Any], name: str) -> dict[str, Any]:
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def _number(of: dict[str, Any], name: str) -> int:
    found = of.get(name)
    return int(found) if isinstance(found, int | float) else 0
