"""What readers of Zarr see of an exported hierarchy, against what `gridstone read` says of each level.

    zarr_readers.py GRIDSTONE WORK

zarr-python, xarray (with rioxarray for the place) and tensorstore read v3 and v2 cell by cell; GDAL reads v2
from 3.4 on and v3 from 3.12 on, by the command of the system and by rasterio's wheel. A package that is not
there is named, and what needs it is left out. Then the same over HTTP from `gridstone serve`.
"""

import json
import shutil
import subprocess

from common import ROOT, WORK, check, fetch, finish, have, run, same, served, skipped

np, zarr, xarray, rasterio, rioxarray, tensorstore = map(have, ["numpy", "zarr", "xarray", "rasterio", "rioxarray", "tensorstore"])
if np is None or zarr is None:
    finish()


def level_by_read(grid, layer, number, place, shape):
    """The cells of a level of the hierarchy by `gridstone read`, of rows and columns."""
    a, _, c, _, e, f = place
    (height, width) = shape
    box = sorted([c, c + a * width]), sorted([f, f + e * height])
    extent = f"{box[0][0]!r},{box[1][0]!r},{box[0][1]!r},{box[1][1]!r}"
    levels = [] if layer == "base" else ["--level", number]
    run("read", "store", grid, "--fresh", "--layer", layer, *levels, f"--extent={extent}", "--out", "level.npy", "--overwrite")
    return np.load(WORK / "level.npy")


def readers(grid, layer, version):
    """Every level of a hierarchy, by every reader."""
    path = WORK / f"{grid}.{layer}.v{version}.zarr"
    run("export", "store", grid, path.name, "--layer", layer, "--zarr-format", version)
    what = f"{grid}, {layer}, v{version}"
    root = zarr.open_group(str(path), mode="r", use_consolidated=True)
    layout = root.attrs["multiscales"]["layout"]
    for number, entry in enumerate(layout):
        group = root[entry["asset"]]
        name = next(key for key, array in group.arrays() if "spatial:transform" in array.attrs)
        array = group[name]
        want = level_by_read(grid, layer, number, entry["spatial:transform"], entry["spatial:shape"])
        nodata = array.attrs.get("_FillValue") if version == 3 else array.fill_value
        cells = array[...]
        check(f"{what}, level {number}: zarr-python", same(cells, want, nodata))
        if tensorstore:
            spec = {"driver": "zarr3" if version == 3 else "zarr", "kvstore": {"driver": "file", "path": f"{path}/{number}/{name}/"}}
            read = tensorstore.open(spec).result().read().result()
            check(f"{what}, level {number}: tensorstore", np.array_equal(read, cells, equal_nan=cells.dtype.kind == "f"))
        if xarray:
            data = xarray.open_zarr(f"{path}/{number}", consolidated=True, decode_coords="all")
            check(f"{what}, level {number}: xarray", same(data[name].values, np.where(np.isin(want, [] if nodata is None else [nodata]), np.nan, want), None))
            a, _, c, _, e, f = entry["spatial:transform"]
            y, x = entry_names(array)
            at = np.allclose(data[x].values, c + a * (np.arange(len(data[x])) + 0.5)) and np.allclose(data[y].values, f + e * (np.arange(len(data[y])) + 0.5))
            check(f"{what}, level {number}: coordinates are centres", at)
            if rioxarray:
                check(f"{what}, level {number}: rioxarray's system", str(data[name].rio.crs) == str(root.attrs["proj:code"]), data[name].rio.crs)
    if xarray:
        check(f"{what}: as a tree", len(xarray.open_datatree(str(path), engine="zarr", consolidated=True).children) == len(layout))
    return path, name, layout


def entry_names(array):
    return array.attrs["spatial:dimensions"]


def gdal(path, name, layout):
    """GDAL's own command, of the system, on v2."""
    if not shutil.which("gdalinfo"):
        skipped.append("gdalinfo is not installed")
        return
    told = subprocess.run(["gdalinfo", "-json", "-stats", f'ZARR:"{path}":/0/{name}'], capture_output=True, text=True)
    if told.returncode:
        check("gdalinfo opens v2", False, told.stderr)
        return
    about = json.loads(told.stdout)
    a, b, c, d, e, f = layout[0]["spatial:transform"]
    check("gdalinfo: size", about["size"] == layout[0]["spatial:shape"][::-1], about["size"])
    check("gdalinfo: place", np.allclose(about["geoTransform"], [c, a, b, f, d, e]), about["geoTransform"])
    check("gdalinfo: system", "4326" in about["coordinateSystem"]["wkt"][-40:])
    cells = zarr.open_group(str(path), mode="r")["0"][name][...].astype("f8")
    cells = cells[~np.isnan(cells)]
    band = about["bands"][0]
    check("gdalinfo: statistics", np.allclose([band["minimum"], band["maximum"], band["mean"]], [cells.min(), cells.max(), cells.mean()], rtol=1e-5), band)


def layout_of(path):
    """Place and size of each level."""
    return zarr.open_group(str(path), mode="r", use_consolidated=True).attrs["multiscales"]["layout"]


def gdal_wheel(path, name, layout, what):
    """GDAL of rasterio's wheel: v2 from 3.4 on, v3 from 3.12 on."""
    if not rasterio:
        return
    version = tuple(int(part) for part in rasterio.__gdal_version__.split(".")[:2])
    if version < ((3, 12) if "v3" in what else (3, 4)):
        skipped.append(f"GDAL {rasterio.__gdal_version__} of rasterio's wheel reads no {what}")
        return
    with rasterio.Env() as env:
        if "Zarr" not in env.drivers():
            skipped.append("GDAL of rasterio's wheel has no Zarr")
            return
        for number, entry in enumerate(layout):
            with rasterio.open(f'ZARR:"{path}":/{number}/{name}') as file:
                a, b, c, d, e, f = entry["spatial:transform"]
                place = (file.height, file.width) == tuple(entry["spatial:shape"]) and np.allclose(list(file.transform)[:6], [a, b, c, d, e, f])
                check(f"GDAL {rasterio.__gdal_version__}, {what}, level {number}: place", place, f"{file.shape} {file.transform}")
                check(f"GDAL {rasterio.__gdal_version__}, {what}, level {number}: system", file.crs == "EPSG:4326", file.crs)
                local = WORK / ("dem.mean.v3.zarr" if "v3" in what else "dem.mean.v2.zarr")
                want = zarr.open_group(str(local), mode="r")[str(number)][name][...]
                check(f"GDAL {rasterio.__gdal_version__}, {what}, level {number}: cells", same(file.read(1), want, file.nodata))


def times():
    """Times are those that the file has, by xarray."""
    source = ROOT / "tests/data/radar"
    files = sorted(source.glob("*.nc"))
    run("create", "store", "rain", "--like", *files, "--aggregator", "mean", "--index-axes")
    run("import", "store", "rain", *files)
    run("export", "store", "rain", "rain.zarr")
    if xarray:
        with xarray.open_zarr(str(WORK / "rain.zarr" / "0"), consolidated=True) as data:
            name = next(name for name in data.data_vars if data[name].ndim == 3)
            hours = data["time"].values
            check("times: as many as files", data[name].sizes["time"] == len(files), data[name].sizes)
            check("times: an hour apart", (np.diff(hours) == np.timedelta64(1, "h")).all(), hours)
            check("times: bounds", (np.diff(data["time_bnds"].values) == np.timedelta64(1, "h")).all())


def over_http():
    """The hierarchy that a server shows is the exported one, byte by byte, and readers open it."""
    with served("store") as address:
        if address is None:
            return
        url = f"{address}/zarr/dem@mean"
        local = WORK / "dem.mean.v3.zarr"
        files = [path for path in local.rglob("*") if path.is_file() and path.name != ".gridstone"]
        same_bytes = [fetch(f"{url}/{path.relative_to(local)}")[2] == path.read_bytes() for path in files]
        check(f"http: {len(files)} files, byte by byte", all(same_bytes))
        chunk = next(path for path in files if "/c/" in str(path))
        key, whole = f"{url}/{chunk.relative_to(local)}", chunk.read_bytes()
        status, headers, body = fetch(key)
        check("http: an unchanged chunk is 304", fetch(key, **{"If-None-Match": headers["ETag"]})[0] == 304)
        status, headers, body = fetch(key, Range="bytes=-9")
        check("http: the last bytes", (status, body) == (206, whole[-9:]), (status, body))
        check("http: a range beyond", fetch(key, Range=f"bytes={len(whole)}-")[0] == 416)
        check("http: a chunk that is not there", fetch(f"{url}/0/height/c/99/99")[0] == 404)
        if xarray and have("fsspec") and have("aiohttp"):
            here, there = (xarray.open_zarr(f"{root}/1", consolidated=True) for root in (local, url))
            name = next(iter(here.data_vars))
            check("http: xarray", there.equals(here))
            tree = xarray.open_datatree(url, engine="zarr", consolidated=True)
            check("http: xarray's tree", np.array_equal(tree["2"][name].values, xarray.open_zarr(f"{local}/2")[name].values))
        name = next(path.parent.name for path in files if path.name == "zarr.json" and path.parent.parent.name == "0" and path.parent.name not in ("x", "y", "spatial_ref"))
        if tensorstore:
            spec = {"driver": "zarr3", "kvstore": {"driver": "http", "base_url": f"{url}/0/{name}/"}}
            read = tensorstore.open(spec).result().read().result()
            check("http: tensorstore", np.array_equal(read, zarr.open_array(f"{local}/0/{name}", mode="r")[...], equal_nan=True))
        gdal_wheel(f"/vsicurl/{url}", name, layout_of(local), "v3 over HTTP")


shutil.rmtree(WORK, ignore_errors=True)
WORK.mkdir(parents=True)
run("create", "store", "dem", "--like", ROOT / "tests/data/srtm.tif", "--aggregator", "mean,max", "--nodata", "-32768")
run("import", "store", "dem", ROOT / "tests/data/srtm.tif")
for layer in ["mean", "max", "base"]:
    v3, v2 = (readers("dem", layer, version) for version in (3, 2))
    if layer == "mean":
        gdal(*v2)
        gdal_wheel(*v2, "v2")
        gdal_wheel(*v3, "v3")
times()
over_http()
finish()
