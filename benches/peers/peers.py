"""Measures systems that a user would pick instead on the workload in workload.py, on this machine. `make peers` runs it.

    python peers.py --work DIR [tensorstore tiledb zarr gdal gdal-uncached]   # one JSON line a system
    python peers.py --dump DIR      # writes the workload for `gridstone bench`

Each system keeps the same float32 base and its full mean pyramid in chunks of CHUNK x CHUNK, plain zstd; with CODEC=fast at its
fastest usual codec: Blosc LZ4 with shuffle (tensorstore, zarr), byte shuffle and LZ4 (tiledb), zstd with predictor 3 (gdal).
build:   write the base from memory and every overview level, durable (fsync) at the end        [s]
update:  write a 300 x 300 patch and bring every overview level up to date, one patch at a time  [ms each]
         (tensorstore, tiledb, zarr: hand-written, only the touched region of each level; gdal: all overviews)
read:    512 x 512 windows at random levels and places, warm page cache, one at a time           [ms each]
scan:    read the whole base                                                                     [s]
size:    bytes on disk after the build
append:  durably append one 512 x 512 field to a (time, y, x) array in chunks of 16 x 128 x 128, one at a time [ms each]
series:  read all time steps of one cell, at random cells, warm                                 [ms each]
exact:   largest difference of any overview cell from the true mean of the base cells under it, after the updates
"""
import argparse, json, os, shutil, statistics, subprocess, sys, time
from pathlib import Path

import numpy as np

import workload as w


def du(path):
    return int(subprocess.check_output(["du", "-sb", str(path)]).split()[0])


def touched(y, x, side):
    """Half-open cell range of each coarser level that a patch at y, x of the base touches."""
    y0, x0, y1, x1 = y, x, y + side, x + side
    for level in range(1, w.levels()):
        y0, x0, y1, x1 = y0 // 2, x0 // 2, -(-y1 // 2), -(-x1 // 2)
        yield level, y0, x0, y1, x1


def halve(a):
    return a.reshape(a.shape[0] // 2, 2, a.shape[1] // 2, 2).mean(axis=(1, 3), dtype=np.float64).astype(np.float32)


class Zarr:
    name = "zarr"

    def __init__(self, root):
        import zarr
        self.zarr, self.root = zarr, root

    def codec(self):
        c = self.zarr.codecs
        return c.BloscCodec(cname="lz4", clevel=1, shuffle="shuffle") if w.FAST else c.ZstdCodec(level=w.ZSTD_LEVEL)

    def create(self):
        codec = self.codec()
        group = self.zarr.open_group(self.root, mode="w")
        self.arrays = [group.create_array(str(l), shape=(w.SIDE >> l,) * 2, chunks=(w.CHUNK,) * 2, dtype="f4",
                                          compressors=codec, fill_value=float("nan")) for l in range(w.levels())]

    def write(self, level, y, x, values): self.arrays[level][y:y + values.shape[0], x:x + values.shape[1]] = values
    def read(self, level, y, x, h, wd): return self.arrays[level][y:y + h, x:x + wd]
    def build(self, grid):
        for level, values in enumerate(w.mean_levels(grid)):
            self.write(level, 0, 0, values)

    def update(self, y, x, values):
        self.write(0, y, x, values)
        for level, y0, x0, y1, x1 in touched(y, x, values.shape[0]):
            self.write(level, y0, x0, halve(self.read(level - 1, 2 * y0, 2 * x0, 2 * (y1 - y0), 2 * (x1 - x0))))

    def reopen(self): self.arrays = [self.zarr.open_array(self.root + f"/{l}", mode="r") for l in range(w.levels())]

    def create_series(self, side):
        self.series = self.zarr.create_array(self.root + "/rain", shape=(0, side, side), chunks=(16, 128, 128), dtype="f4",
                                             compressors=self.codec(), fill_value=float("nan"))

    def append(self, step, field):
        self.series.resize((step + 1, *field.shape)); self.series[step] = field

    def point(self, y, x): return self.series[:, y, x]


class TensorStore(Zarr):
    name = "tensorstore"

    def __init__(self, root):
        import tensorstore as ts
        self.ts, self.root = ts, root

    def spec(self, level):
        fast = {"name": "blosc", "configuration": {"cname": "lz4", "clevel": 1, "shuffle": "shuffle", "typesize": 4, "blocksize": 0}}
        return {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{self.root}/{level}/"},
                "metadata": {"shape": [w.SIDE >> level] * 2, "data_type": "float32", "fill_value": "NaN",
                             "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [w.CHUNK] * 2}},
                             "codecs": [{"name": "bytes", "configuration": {"endian": "little"}},
                                        fast if w.FAST else {"name": "zstd", "configuration": {"level": w.ZSTD_LEVEL}}]}}

    def create(self):
        self.arrays = [self.ts.open(self.spec(l), create=True).result() for l in range(w.levels())]

    def write(self, level, y, x, values):
        self.arrays[level][y:y + values.shape[0], x:x + values.shape[1]].write(values).result()

    def read(self, level, y, x, h, wd): return self.arrays[level][y:y + h, x:x + wd].read().result()

    def build(self, grid):
        """The engine's own downsample driver makes each level from the one before."""
        self.write(0, 0, 0, grid)
        for level in range(1, w.levels()):
            self.arrays[level].write(self.ts.downsample(self.arrays[level - 1], [2, 2], "mean")).result()

    def update(self, y, x, values):
        self.write(0, y, x, values)
        for level, y0, x0, y1, x1 in touched(y, x, values.shape[0]):
            region = np.s_[y0:y1, x0:x1]
            self.arrays[level][region].write(
                self.ts.downsample(self.arrays[level - 1], [2, 2], "mean")[region]).result()

    def create_series(self, side):
        spec = self.spec(0); spec["kvstore"]["path"] = f"{self.root}/rain/"; spec["metadata"]["shape"] = [0, side, side]
        spec["metadata"]["chunk_grid"]["configuration"]["chunk_shape"] = [16, 128, 128]
        self.series = self.ts.open(spec, create=True).result()

    def append(self, step, field):
        self.series = self.series.resize(exclusive_max=[step + 1, *field.shape]).result(); self.series[step].write(field).result()

    def point(self, y, x): return self.series[:, y, x].read().result()

    def reopen(self): self.arrays = [self.ts.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{self.root}/{l}/"}}).result() for l in range(w.levels())]


class TileDB(Zarr):
    name = "tiledb"

    def __init__(self, root):
        import tiledb
        self.tiledb, self.root = tiledb, root
        self.ctx = tiledb.Ctx()

    def filters(self):
        t = self.tiledb
        return [t.ByteShuffleFilter(), t.LZ4Filter()] if w.FAST else [t.ZstdFilter(w.ZSTD_LEVEL)]

    def create(self):
        t = self.tiledb
        os.makedirs(self.root)
        for l in range(w.levels()):
            side = w.SIDE >> l
            domain = t.Domain(*[t.Dim(n, domain=(0, side - 1), tile=min(w.CHUNK, side), dtype=np.uint32) for n in "yx"])
            t.Array.create(f"{self.root}/{l}", t.ArraySchema(domain=domain, attrs=[t.Attr("v", dtype="f4", filters=self.filters())]))

    def write(self, level, y, x, values):
        with self.tiledb.open(f"{self.root}/{level}", "w") as a:
            a[y:y + values.shape[0], x:x + values.shape[1]] = values

    def read(self, level, y, x, h, wd):
        if getattr(self, "arrays", None): return self.arrays[level][y:y + h, x:x + wd]["v"]
        with self.tiledb.open(f"{self.root}/{level}") as a: return a[y:y + h, x:x + wd]["v"]

    def reopen(self): self.arrays = [self.tiledb.open(f"{self.root}/{l}") for l in range(w.levels())]

    def create_series(self, side):
        t = self.tiledb
        domain = t.Domain(t.Dim("t", domain=(0, 2**31), tile=16, dtype=np.uint32), *[t.Dim(n, domain=(0, side - 1), tile=128, dtype=np.uint32) for n in "yx"])
        t.Array.create(f"{self.root}/rain", t.ArraySchema(domain=domain, attrs=[t.Attr("v", dtype="f4", filters=self.filters())]))

    def append(self, step, field):
        with self.tiledb.open(f"{self.root}/rain", "w") as a: a[step:step + 1] = field[None]
        self.steps, self.reader = step + 1, None

    def point(self, y, x):
        self.reader = self.reader or self.tiledb.open(f"{self.root}/rain")
        return self.reader[0:self.steps, y, x]["v"]


class Gdal:
    name = "gdal"

    cache_mb = 1200  # all of it fits, decoded

    def __init__(self, root):
        os.makedirs(root)
        self.path = f"{root}/dem.tif"

    def create(self): pass

    def build(self, grid):
        import rasterio
        from rasterio.enums import Resampling
        with rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS", GDAL_TIFF_OVR_BLOCKSIZE=str(w.CHUNK), COMPRESS_OVERVIEW="ZSTD", ZSTD_LEVEL_OVERVIEW=str(w.ZSTD_LEVEL),
                          PREDICTOR_OVERVIEW="3" if w.FAST else "1"):
            with rasterio.open(self.path, "w", driver="GTiff", width=w.SIDE, height=w.SIDE, count=1, dtype="float32", tiled=True,
                               blockxsize=w.CHUNK, blockysize=w.CHUNK, compress="zstd", zstd_level=w.ZSTD_LEVEL, predictor=3 if w.FAST else 1, bigtiff="yes") as d:
                d.write(grid, 1)
            with rasterio.open(self.path, "r+") as d:
                d.build_overviews([2 ** l for l in range(1, w.levels())], Resampling.average)

    def update(self, y, x, values):
        import rasterio
        from rasterio.enums import Resampling
        from rasterio.windows import Window
        with rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS"):
            with rasterio.open(self.path, "r+") as d:
                d.write(values, 1, window=Window(x, y, values.shape[1], values.shape[0]))
            with rasterio.open(self.path, "r+") as d:
                d.build_overviews([2 ** l for l in range(1, w.levels())], Resampling.average)

    def reopen(self):
        import rasterio
        self.levels = [rasterio.open(self.path)] + [rasterio.open(self.path, overview_level=l) for l in range(w.levels() - 1)]

    def read(self, level, y, x, h, wd):
        from rasterio.windows import Window
        return self.levels[level].read(1, window=Window(x, y, wd, h))


class GdalUncached(Gdal):
    """The same with a block cache too small to hold anything, so that every read decodes."""
    name = "gdal-uncached"
    cache_mb = 1


def fsync(path):
    for f in Path(path).rglob("*"):
        if f.is_file():
            fd = os.open(f, os.O_RDONLY); os.fsync(fd); os.close(fd)


def measure(system, grid, root, updates, reads, steps):
    s = system(root)
    row = {"system": s.name, "side": w.SIDE, "chunk": w.CHUNK, "seed": w.SEED}
    t = time.perf_counter(); s.create(); s.build(grid); fsync(root); row["build_s"] = round(time.perf_counter() - t, 3)
    row["size"] = du(root)
    truth = grid.copy(); times = []
    for y, x, values in w.patches(updates):
        t = time.perf_counter(); s.update(y, x, values); times.append(1e3 * (time.perf_counter() - t))
        truth[y:y + values.shape[0], x:x + values.shape[1]] = values
    row["update_ms_p50"], row["update_ms_max"] = round(statistics.median(times), 2), round(max(times), 2)
    s.reopen()
    worst = 0.0
    for level, want in enumerate(w.mean_levels(truth)):
        worst = max(worst, float(np.abs(s.read(level, 0, 0, *want.shape) - want).max()))
    row["exact"] = worst
    times = []
    for level, y, x, side in w.windows(reads):
        t = time.perf_counter(); s.read(level, y, x, side, side); times.append(1e3 * (time.perf_counter() - t))
    times.sort(); row["read_ms_p50"], row["read_ms_p99"] = round(times[len(times) // 2], 3), round(times[int(len(times) * .99)], 3)
    row["read_per_s"] = round(1e3 * len(times) / sum(times), 1)
    t = time.perf_counter(); s.read(0, 0, 0, w.SIDE, w.SIDE); row["scan_s"] = round(time.perf_counter() - t, 3)
    if hasattr(s, "append"):
        s.create_series(512); times = []
        for step, field in enumerate(w.rain(steps)):
            t = time.perf_counter(); s.append(step, field); os.sync(); times.append(1e3 * (time.perf_counter() - t))
        row["append_ms_p50"], row["append_ms_last"] = round(statistics.median(times), 2), round(statistics.median(times[-16:]), 2)
        random, times = np.random.default_rng(w.SEED + 2), []
        for y, x in random.integers(0, 512, (100, 2)):
            t = time.perf_counter(); s.point(int(y), int(x)); times.append(1e3 * (time.perf_counter() - t))
        row["series_ms_p50"] = round(statistics.median(times), 3)
    print(json.dumps(row), flush=True)


def dump(folder, updates, reads, steps):
    os.makedirs(folder, exist_ok=True)
    w.base().tofile(f"{folder}/base.f32")
    patches = list(w.patches(updates))
    np.stack([v for _, _, v in patches]).tofile(f"{folder}/patches.f32")
    np.stack(list(w.rain(steps))).tofile(f"{folder}/rain.f32")
    for name, rows in (("patches", [dict(y=y, x=x, side=v.shape[0]) for y, x, v in patches]),
                       ("windows", [dict(level=l, y=y, x=x, side=s) for l, y, x, s in w.windows(reads)]),
                       ("shape", dict(side=w.SIDE, chunk=w.CHUNK, levels=w.levels(), rain=[steps, 512, 512]))):
        Path(f"{folder}/{name}.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--work"); arguments.add_argument("--dump"); arguments.add_argument("--steps", type=int, default=128)
    arguments.add_argument("--updates", type=int, default=32); arguments.add_argument("--reads", type=int, default=500)
    arguments.add_argument("systems", nargs="*", default=["tensorstore", "tiledb", "zarr", "gdal", "gdal-uncached"])
    a = arguments.parse_args()
    if not (a.dump or a.work):
        arguments.error("say --work DIR to measure, or --dump DIR to write the workload")
    if unknown := [name for name in a.systems if name not in arguments.get_default("systems")]:
        arguments.error(f"there is no system {', '.join(unknown)}; there are {', '.join(arguments.get_default('systems'))}")
    if a.dump:
        dump(a.dump, a.updates, a.reads, a.steps)
    systems = [s for s in (TensorStore, TileDB, Zarr, Gdal, GdalUncached) if s.name in a.systems]
    if a.work and "PEER_CHILD" in os.environ:
        root = f"{a.work}/{systems[0].name}"; shutil.rmtree(root, ignore_errors=True)
        measure(systems[0], w.base(), root, 4 if issubclass(systems[0], Gdal) else a.updates, a.reads, a.steps)
        shutil.rmtree(root, ignore_errors=True)
    elif a.work:  # a process each: GDAL reads its cache size once
        for s in systems:
            subprocess.run([sys.executable, "-W", "ignore", __file__, "--work", a.work, "--updates", str(a.updates), "--reads", str(a.reads), "--steps", str(a.steps), s.name],
                           env={**os.environ, "PEER_CHILD": "1", "GDAL_CACHEMAX": str(getattr(s, "cache_mb", 64))}, check=True)
