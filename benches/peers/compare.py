"""Runs gridstone and the systems in peers.py on the same workload, one after the other, and writes what was measured.

    python compare.py --gridstone PATH [--work DIR] [--side 8192] [--seeds 1,2,3] [--out DIR]
    python compare.py --out DIR --show          # table and plot of what was measured before

Writes to DIR, target/peers of the repository if it is not given: results.jsonl, a line a system, codec and seed; machine.json, what
it was measured on; peers.md, the medians and ratios; peers.png, the ratios. --work holds the stores, which are removed again.
"""
import argparse, datetime, importlib.metadata, json, os, platform, shutil, statistics, subprocess, sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Row, figure of gridstone, figure of the others, and who of them does the same work.
UNCACHED = ("tensorstore", "tiledb", "zarr", "gdal-uncached")
ROWS = [
    ("build, durable, every level", "build_s", "build_s", UNCACHED),
    ("update 300 x 300, every level fresh", "update_ms_p50", "update_ms_p50", UNCACHED),
    ("read 512 x 512, nothing decoded kept", "read_ms_p50", "read_ms_p50", UNCACHED),
    ("read 512 x 512, decoded blocks kept", "read_cached_ms_p50", "read_ms_p50", ("gdal",)),
    ("scan", "scan_s", "scan_s", UNCACHED),
    ("bytes on disk", "size", "size", UNCACHED),
    ("append a field, every level stored", "append_ms_p50", "append_ms_p50", ("tensorstore", "tiledb", "zarr")),
    ("append a field, durable, levels follow", "append_background_ms_p50", "append_ms_p50", ("tensorstore", "tiledb", "zarr")),
    ("append 128 fields until every level is stored, each", "append_sustained_ms", "append_ms_p50", ("tensorstore", "tiledb", "zarr")),
    ("series of a cell", "series_ms_p50", "series_ms_p50", ("tensorstore", "tiledb", "zarr")),
]


def run(command, **environment):
    print("$", *command, flush=True)
    return subprocess.run(command, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE, text=True).stdout


def measure(a, out):
    """Every system for every seed; gridstone beside the peers of each codec, so that both see the same machine."""
    work = Path(a.work)
    with open(out / "results.jsonl", "w") as results:
        for seed in a.seeds.split(","):
            setting = {"SEED": seed, "SIDE": str(a.side), "CHUNK": "512"}
            dump = work / "workload"
            shutil.rmtree(dump, ignore_errors=True)
            run([sys.executable, "-W", "ignore", str(HERE / "peers.py"), "--dump", str(dump)], **setting)
            for codec, name in (("zstd", "small"), ("fast", "fast")):
                lines = run([a.gridstone, "bench", str(dump), "--work", str(work), "--codec", name])
                lines += run([sys.executable, "-W", "ignore", str(HERE / "peers.py"), "--work", str(work / "peers")], CODEC=codec, **setting)
                for line in lines.splitlines():
                    row = {**json.loads(line), "codec": codec, "seed": int(seed)}
                    row.pop("events", None)
                    results.write(json.dumps(row) + "\n")
                    results.flush()
            shutil.rmtree(dump)
    (out / "machine.json").write_text(json.dumps(machine(a)))


def machine(a):
    names = ("tensorstore", "tiledb", "zarr", "rasterio")
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    import rasterio
    versions = ", ".join([f"{name} {importlib.metadata.version(name)}" for name in names] + [f"GDAL {rasterio.__gdal_version__}"])
    gridstone = run([a.gridstone, "--version"]).split()[-1]
    return {"date": datetime.date.today().isoformat(), "cpu": cpu, "cores": os.cpu_count(), "side": a.side, "seeds": a.seeds,
            "versions": f"gridstone {gridstone}, {versions}"}


def medians(out):
    """{(system, codec): {figure: median over the seeds}}"""
    rows = {}
    for line in open(out / "results.jsonl"):
        row = json.loads(line)
        rows.setdefault((row["system"], row["codec"]), []).append(row)
    number = lambda rows, key: statistics.median(row[key] for row in rows if key in row)
    return {of: {key: number(rows, key) for key in rows[0] if isinstance(rows[0][key], (int, float))} for of, rows in rows.items()}


def ratio(found, row, codec):
    """gridstone's figure, that of the fastest peer, and who that is."""
    _, own, other, systems = row
    peers = [(found[system, codec][other], system) for system in systems if other in found.get((system, codec), {})]
    best, who = min(peers)
    return found["gridstone", "fast"][own], best, who


def show(out):
    found, about = medians(out), json.loads((out / "machine.json").read_text())
    lines = [f"{about['side']} x {about['side']} float32 cells, medians of seeds {about['seeds']}, {about['date']}, {about['cores']} cores of "
             f"{about['cpu']}; {about['versions']}.", "",
             "| | gridstone | fastest peer, zstd 1 | ratio | fastest peer, its fastest codec | ratio |", "|---|---|---|---|---|---|"]
    ratios = []
    for row in ROWS:
        own, zstd, who_zstd = ratio(found, row, "zstd")
        _, fast, who_fast = ratio(found, row, "fast")
        text = (lambda n: f"{n / 1e6:.1f} MB") if row[1] == "size" else (lambda n: f"{n:.3g} {'s' if row[1].endswith('_s') else 'ms'}")
        lines.append(f"| {row[0]} | {text(own)} | {text(zstd)} ({who_zstd}) | {own / zstd:.2f} | {text(fast)} ({who_fast}) | {own / fast:.2f} |")
        ratios.append((row[0], own / zstd, own / fast))
    small, gdal = found["gridstone", "zstd"]["size"], found["gdal", "fast"]["size"]
    lines += ["", f"Size with `Codec::Small`: {small / 1e6:.1f} MB, {small / gdal:.2f} of GDAL's with predictor 3 ({gdal / 1e6:.1f} MB); "
              f"`Codec::Fast`: {found['gridstone', 'fast']['size'] / gdal:.2f}."]
    (out / "peers.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    plot(out, about, ratios)


def plot(out, about, ratios):
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(figsize=(9, 5))
    for number, (name, zstd, fast) in enumerate(reversed(ratios)):
        axes.barh(number + 0.19, zstd, 0.36, color="#7aa6c2", label="peers with zstd 1" if number == 0 else None)
        axes.barh(number - 0.19, fast, 0.36, color="#1f4e79", label="peers at their fastest codec" if number == 0 else None)
    axes.set_yticks(range(len(ratios)), [name for name, *_ in reversed(ratios)])
    axes.set_xscale("log")
    axes.set_xticks([0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10"])
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("gridstone's time or bytes as part of the fastest peer's: less is better")
    axes.legend(loc="best", fontsize=8)
    axes.set_title(f"{about['side']} x {about['side']} float32, {about['date']}, {about['cores']} cores of {about['cpu']}\n{about['versions']}", fontsize=7)
    figure.tight_layout()
    figure.savefig(out / "peers.png", dpi=110)
    print(f"\nThe table, the figures and the plot are in {out}.")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--gridstone", default="gridstone")
    arguments.add_argument("--work", default="/var/tmp/gridstone-peers")
    arguments.add_argument("--side", type=int, default=8192)
    arguments.add_argument("--seeds", default="1,2,3")
    arguments.add_argument("--out", default=str(HERE.parent.parent / "target" / "peers"))
    arguments.add_argument("--show", action="store_true")
    a = arguments.parse_args()
    out = Path(a.out)
    if a.show and not all((out / name).is_file() for name in ("results.jsonl", "machine.json")):
        arguments.error(f"nothing was measured into {out}; run it without --show first")
    if not a.show:
        os.makedirs(out, exist_ok=True)
        os.makedirs(a.work, exist_ok=True)
        measure(a, out)
    show(out)
