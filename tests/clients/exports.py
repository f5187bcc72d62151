"""What other programs read of exported files, against what `gridstone read` says of each level.

    exports.py GRIDSTONE WORK

GeoTIFFs are opened by GDAL (rasterio's wheel, and the one of the system where there is its command)
and held against GDAL's own validator of Cloud Optimized GeoTIFFs and that of rio-cogeo; NetCDF files by
xarray. A package that is not there is named, and what needs it is left out.
"""

import json
import pathlib
import shutil
import subprocess
import sys

from common import GRIDSTONE, ROOT, WORK, check, finish, have, run, same, skipped

np, rasterio, rio_cogeo, xarray = have("numpy"), have("rasterio"), have("rio_cogeo"), have("xarray")
if np is None:
    finish()


def level(grid, layer, space, window):
    """The cells of a level by `gridstone read`: values, and whether they are data."""
    # Along each axis, half-open.
    y, x = (f"{lower}:{upper}" for lower, upper in (window["y"], window["x"]))
    run("read", "store", grid, "--fresh", "--layer", layer, "--level", space, "--window", f"{y},{x}", "--out", "level.npy", "--overwrite")
    return np.load(WORK / "level.npy")


def geotiff(name, grid, layer, *options):
    out = WORK / f"{name}.tif"
    made = json.loads(run("export", "store", grid, out, "--layer", layer, "--overwrite", "--quiet", "--json", *options))
    window = {axis: made["window"][axis] for axis in ("y", "x")}
    plain = "--plain" in options
    if rasterio:
        with rasterio.open(out) as file:
            count = len(file.overviews(1))
            check(f"{name}: GDAL {rasterio.__gdal_version__} sees {made['overviews']} overviews", count == made["overviews"], str(count))
            structure = file.tags(ns="IMAGE_STRUCTURE")
            check(f"{name}: GDAL knows the order", structure.get("LAYOUT") == "COG", str(structure))
            nodata = file.nodata
        for number in range(made["overviews"] + 1):
            options_of = {} if number == 0 else {"overview_level": number - 1}
            with rasterio.open(out, **options_of) as file:
                cells = file.read(masked=True).squeeze()
                cells = np.ma.filled(cells.astype("f8"), np.nan)
            scaled = {axis: [edge >> number for edge in edges] for axis, edges in window.items()}
            wanted = level(grid, layer, number, scaled)
            check(f"{name}: image {number} is the level", same(cells, wanted, nodata), f"{cells.shape} {wanted.shape}")
    if shutil.which("gdalinfo"):
        told = json.loads(subprocess.run(["gdalinfo", "-json", "-stats", str(out)], capture_output=True, text=True).stdout)
        pathlib.Path(f"{out}.aux.xml").unlink(missing_ok=True)
        band = told["bands"][0]
        wanted = level(grid, layer, 0, window).astype("f8")
        wanted = wanted[~np.isnan(wanted) & (True if band.get("noDataValue") in (None, "NaN") else wanted != band["noDataValue"])]
        # Shown to three decimals.
        near = abs(band["mean"] - wanted.mean()) < 6e-4 and abs(band["minimum"] - wanted.min()) < 6e-4
        check(f"{name}: statistics of the system's GDAL", near, f"{band['mean']} {wanted.mean()}")
        check(f"{name}: overviews of the system's GDAL", len(band.get("overviews", [])) == made["overviews"])
    validated(name, out, plain)


def validated(name, out, plain):
    """Holds a file against the validators of Cloud Optimized GeoTIFFs; a plain one has no overviews."""
    script = "from osgeo_utils.samples.validate_cloud_optimized_geotiff import validate; import sys, json; print(json.dumps(validate(sys.argv[1], full_check=True)[:2]))"
    system = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    done = subprocess.run([system or sys.executable, "-c", script, str(out)], capture_output=True, text=True)
    if done.returncode:
        skipped.append(f"GDAL's validator: {done.stderr.strip().splitlines()[-1] if done.stderr else 'no python3'}")
    else:
        warnings, errors = json.loads(done.stdout)
        check(f"{name}: GDAL's validator, every byte", not errors and (plain or not warnings), f"{errors} {warnings}")
    if rio_cogeo and not plain:
        from rio_cogeo.cogeo import cog_validate

        valid, errors, warnings = cog_validate(str(out), strict=True)
        check(f"{name}: rio-cogeo", valid, f"{errors} {warnings}")


def netcdf(name, grid, *options):
    out = WORK / f"{name}.nc"
    run("export", "store", grid, out, "--overwrite", "--quiet", *options)
    if xarray is None:
        return
    with xarray.open_dataset(out, decode_coords="all") as data:
        variables = list(data.data_vars)
        check(f"{name}: xarray reads one variable", len(variables) == 1, str(variables))
        values = data[variables[0]]
        run("read", "store", grid, "--out", "whole.npy", "--overwrite")
        wanted = np.load(WORK / "whole.npy")
        nodata = values.encoding.get("_FillValue")
        cells = values.to_numpy().squeeze()
        wanted = wanted.astype("f8").squeeze()
        if nodata is not None:
            wanted = np.where(wanted == nodata, np.nan, wanted)
        check(f"{name}: cells of xarray", same(cells, wanted, None), f"{cells.shape} {wanted.shape}")
        check(f"{name}: a coordinate for each dimension", all(d in data.coords for d in ("y", "x")), str(list(data.coords)))
        if "time" in data.dims:
            extent = json.loads(run("read", "store", grid, "--json"))
            print("        times", str(data.time.values[0]), "to", str(data.time.values[-1]), "of", extent["shape"])
        system = json.loads(run("info", "store", grid, "--json"))["grids"][0]["crs"]
        check(f"{name}: the system", system is None or "crs" in data.coords and "crs_wkt" in data["crs"].attrs, str(data.coords))


WORK.mkdir(parents=True, exist_ok=True)
shutil.rmtree(WORK / "store", ignore_errors=True)
srtm = ROOT / "tests/data/srtm.tif"
run("create", "store", "dem", "--like", srtm, "--aggregator", "mean,max,count", "--chunk", "128")
run("import", "store", "dem", srtm)
for name, layer, options in [
    ("dem-mean", "mean", []),
    ("dem-max-zstd", "max", ["--compress", "zstd"]),
    ("dem-none", "mean", ["--compress", "none"]),
    ("dem-count", "count", ["--tile", "256"]),
    ("dem-base-plain", "base", ["--plain"]),
    ("dem-window", "mean", ["--window", "101:900,77:1203", "--tile", "128"]),
    ("dem-part", "max", ["--extent", "-119.3,36.9,-118.9,37.2", "--tile", "64"]),
]:
    geotiff(name, "dem", layer, *options)

if rasterio:
    from rasterio.transform import from_origin

    def raster(name, cells, nodata=None, crs="EPSG:32632"):
        with rasterio.open(WORK / name, "w", driver="GTiff", height=cells.shape[0], width=cells.shape[1], count=1, dtype=cells.dtype,
                           crs=crs, transform=from_origin(500_000, 5_000_000, 30, 30), nodata=nodata) as file:
            file.write(cells, 1)

    gaps = np.full((500, 700), np.nan, "f4")
    gaps[40:300, 90:610] = np.random.default_rng(1).normal(size=(260, 520))
    raster("gaps.tif", gaps)
    marked = np.random.default_rng(2).integers(-50, 50, (400, 333)).astype("i2")
    raster("marked.tif", marked, nodata=0)
    # Every value of a byte, in a grid with a hole: needs a mask.
    full = np.arange(320 * 320, dtype="u8").reshape(320, 320).astype("u1")
    raster("upper.tif", full)
    for name, file in [("gaps", "gaps.tif"), ("marked", "marked.tif"), ("masked", "upper.tif")]:
        run("create", "store", name, "--like", file, "--aggregator", "max", "--chunk", "32")
        run("import", "store", name, file)
        if name == "masked":
            run("clear", "store", name, "--window", "100:150,60:200", "--yes")
    for name in ("gaps", "marked"):
        geotiff(name, name, "max", "--tile", "128")
    out = WORK / "masked.tif"
    run("export", "store", "masked", out, "--layer", "max", "--tile", "128", "--overwrite", "--quiet")
    with rasterio.open(out) as file:
        mask = file.dataset_mask() > 0
        wanted = np.ones((320, 320), bool)
        wanted[100:150, 60:200] = False
        check("masked: the mask of GDAL", (mask == wanted).all())
        check("masked: cells of GDAL", (file.read(1)[wanted] == full[wanted]).all())
    validated("masked", out, plain=False)

netcdf("dem", "dem", "--layer", "base")
if rasterio:
    netcdf("marked", "marked")
    netcdf("gaps", "gaps")
data = ROOT / "tests/data"
sources = sorted((data / "netcdf").glob("*.nc")) + [data / "cf" / f"{name}.nc" for name in ("lat-lon", "levels", "360-day", "lcc", "labels-letters")]
for source in sources:
    name = source.name.split(".")[0]
    done = subprocess.run([GRIDSTONE, "create", "store", f"nc-{name}", "--like", str(source)], cwd=WORK, capture_output=True, text=True)
    if done.returncode:
        skipped.append(f"{source.name}: {done.stderr.strip()}")
        continue
    done = subprocess.run([GRIDSTONE, "import", "store", f"nc-{name}", str(source)], cwd=WORK, capture_output=True, text=True)
    if done.returncode:
        skipped.append(f"{source.name}: {done.stderr.strip()}")
        continue
    netcdf(f"nc-{name}", f"nc-{name}")

finish()
