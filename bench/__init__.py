"""The benchmark: gatelodge beside a bare proxy and its peers, measured in one interleaved run."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"

TARGET_CORE = 0
LOAD_CORE = 1
