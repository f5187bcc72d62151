"""The workload that every system runs: the same cells, the same patches, the same windows.

Everything is derived from SEED (environment variable, default 1) and SIDE (cells a side, default 8192), so two
systems measured in one run did exactly the same work, and a run with another SEED checks that neither was tuned.
"""
import os
from pathlib import Path

import numpy as np
import rasterio

SEED = int(os.environ.get("SEED", "1"))
SIDE = int(os.environ.get("SIDE", "8192"))
CHUNK = int(os.environ.get("CHUNK", "512"))
ZSTD_LEVEL = int(os.environ.get("ZSTD_LEVEL", "1"))
FAST = os.environ.get("CODEC", "zstd") == "fast"  # each peer at its fastest usual codec instead of plain zstd
WINDOW = 512
DATA = Path(__file__).resolve().parents[2] / "tests" / "data"


def base() -> np.ndarray:
    """A SIDE x SIDE float32 elevation grid: real SRTM heights (metres) mirrored to size, plus a smooth
    sub-metre term in steps of 1/8 m, so that it compresses as a real float DEM does."""
    with rasterio.open(DATA / "srtm.tif") as source:
        heights = source.read(1)
    rows, columns = (-(-SIDE // n) for n in heights.shape)
    strip = np.concatenate([heights[:, :: 1 if c % 2 == 0 else -1] for c in range(columns)], axis=1)[:, :SIDE]
    grid = np.concatenate([strip[:: 1 if r % 2 == 0 else -1] for r in range(rows)], axis=0)[:SIDE]
    y, x = np.ogrid[:SIDE, :SIDE]
    detail = np.round(4 * (np.sin(x / 37 + SEED) + np.cos(y / 53 - SEED))) / 8
    return (grid + detail).astype(np.float32)


def rain(steps: int, side: int = 512):
    """`steps` hourly side x side float32 radar fields (mm), from the real hours in tests/data/radar, mirrored to size and cycled,
    drifting east one cell a step; NaN is nodata."""
    hours = []
    for path in sorted((DATA / "radar").glob("*.nc")):
        with rasterio.open(f"netcdf:{path}:rain") as source:
            hours.append(source.read(1).astype(np.float32))
    for step in range(steps):
        field = hours[(step + SEED) % len(hours)]
        down, across = (2 * (-(-side // (2 * n))) for n in field.shape)
        field = np.concatenate([np.concatenate([field, field[:, ::-1]], 1)] * (across // 2), 1)
        field = np.concatenate([np.concatenate([field, field[::-1]], 0)] * (down // 2), 0)
        yield np.roll(field, step, 1)[:side, :side]


def levels() -> int:
    """How many levels a pyramid has, the base included: the last is the first that fits one chunk."""
    count, side = 1, SIDE
    while side > CHUNK:
        side, count = side // 2, count + 1
    return count


def patches(count: int, side: int = 300):
    """`count` square patches at random places: (y, x, values), values a side x side float32 array."""
    random = np.random.default_rng(SEED)
    for _ in range(count):
        y, x = (int(v) for v in random.integers(0, SIDE - side, 2))
        yield y, x, random.normal(500, 100, (side, side)).astype(np.float32)


def windows(count: int):
    """`count` windows of up to WINDOW x WINDOW cells at random levels and places: (level, y, x, side)."""
    random = np.random.default_rng(SEED + 1)
    for _ in range(count):
        level = int(random.integers(0, levels()))
        side = min(WINDOW, SIDE >> level)
        y, x = (int(v) for v in random.integers(0, (SIDE >> level) - side + 1, 2))
        yield level, y, x, side


def mean_levels(grid: np.ndarray):
    """The reference pyramid: each level the 2 x 2 mean of the one before, base first."""
    yield grid
    for _ in range(levels() - 1):
        grid = grid.reshape(grid.shape[0] // 2, 2, grid.shape[1] // 2, 2).mean(axis=(1, 3), dtype=np.float64).astype(np.float32)
        yield grid
