"""Programs of the web over `gridstone serve`: the map page in Chromium, zarrita under node, WMTS by OWSLib and GDAL.

    web.py GRIDSTONE WORK

Chromium is that of the system, driven by playwright; what it shows is held against `page.png`, which is that
picture made small, and lies in WORK as a whole to be looked at. zarrita comes by npm. A program that is not there
is named, and what needs it is left out.
"""

import json
import pathlib
import shutil
import subprocess

from common import ROOT, WORK, check, fetch, finish, have, run, served, skipped

HERE = pathlib.Path(__file__).resolve().parent
np, pillow, playwright, owslib = map(have, ["numpy", "PIL", "playwright", "owslib"])

LOADED = """() => {
  const tiles = [...document.querySelectorAll('.leaflet-tile')];
  return document.getElementById('state').textContent.startsWith('live')
    && tiles.length > 0 && tiles.every(tile => tile.classList.contains('leaflet-tile-loaded'));
}"""
FOUND = "() => document.getElementById('found-head').textContent"


def small(path):
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize((90, 70), Image.Resampling.BOX)).astype("i2")


def map_page(address):
    """What the page shows, and what a click finds."""
    browser = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    if browser is None or not (np and pillow and playwright):
        skipped.append("the map page: no Chromium, or what drives it" if browser is None else "the map page: a package is missing")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        # In a container no one may make namespaces.
        try:
            chromium = started.chromium.launch(executable_path=browser, args=["--no-sandbox"], timeout=120_000)
        except Exception as error:
            skipped.append(f"the map page: {browser} does not start: {str(error).splitlines()[0]}")
            return
        page = chromium.new_page(viewport={"width": 900, "height": 700}, bypass_csp=True)
        errors, hosts = [], set()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("response", lambda answer: answer.status >= 400 and errors.append(f"{answer.status} {answer.url}"))
        page.on("request", lambda request: hosts.add(request.url.split("/")[2]) if request.url.startswith("http") else None)
        page.set_default_timeout(120_000)
        page.goto(f"{address}/#dem")
        page.wait_for_function(LOADED)
        # Tiles fade in.
        page.wait_for_timeout(1000)
        page.screenshot(path=str(WORK / "page.png"))
        shown, wanted = small(WORK / "page.png"), small(HERE / "page.png")
        off = np.abs(shown - wanted)
        check("page: as it was", off.mean() < 4 and (off.max(axis=2) > 48).mean() < 0.02, f"off by {off.mean():.1f}, {WORK / 'page.png'}")
        page.mouse.click(450, 350)
        page.wait_for_function(f"() => ({FOUND})().includes(': ')")
        head = page.evaluate(FOUND)
        place, value = head.split(": ")
        lat, lon = place.split(", ")
        about = json.loads(run("read", "store", "dem", "--layer", "base", "--out", "base.npy", "--overwrite", "--json"))
        cells = np.load(WORK / "base.npy")
        (south, north), (west, east) = about["extent"]["y"], about["extent"]["x"]
        row = int((north - float(lat)) / (north - south) * cells.shape[0])
        col = int((float(lon) - west) / (east - west) * cells.shape[1])
        # The place is shown to five decimals, so that it may be a neighbour's.
        near = cells[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2]
        check("page: a click finds the height there", int(value.split()[0]) in near, f"{head}, not one of {near}")
        check("page: nothing failed", not errors, errors)
        check("page: it asks nobody else", hosts == {address.split("/")[2]}, hosts)
        chromium.close()


READ = """
import * as zarr from 'zarrita';
import { writeFileSync } from 'node:fs';
const root = zarr.root(new zarr.FetchStore(process.argv[2]));
const { layout } = (await zarr.open.v3(root, { kind: 'group' })).attrs.multiscales;
const levels = [];
for (const { asset } of layout) {
  const array = await zarr.open.v3(root.resolve(`${asset}/${process.argv[3]}`), { kind: 'array' });
  const { data, shape } = await zarr.get(array, null);
  writeFileSync(`zarrita-${asset}.bin`, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  levels.push({ asset, shape, dtype: array.dtype });
}
console.log(JSON.stringify(levels));
"""


def zarrita(address):
    """Every level as zarrita reads it over HTTP, bit for bit."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (np and node and npm):
        skipped.append("zarrita: no node, npm or numpy")
        return
    # Beside WORK, so that it is fetched once.
    folder = WORK.parent / "node"
    folder.mkdir(exist_ok=True)
    install = [npm, "install", "--silent", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=30000", "zarrita@0.7"]
    try:
        installed = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        skipped.append("zarrita cannot be had: npm takes too long")
        return
    if installed.returncode:
        skipped.append(f"zarrita cannot be had: {(installed.stderr or installed.stdout).strip()[-200:]}")
        return
    (folder / "read.mjs").write_text(READ)
    for layer in ["mean", "base"]:
        told = subprocess.run([node, "read.mjs", f"{address}/zarr/dem@{layer}", "dem"], cwd=folder, capture_output=True, text=True, timeout=300)
        if told.returncode:
            check(f"zarrita, {layer}", False, told.stderr)
            continue
        for entry in json.loads(told.stdout):
            cells = np.fromfile(folder / f"zarrita-{entry['asset']}.bin", entry["dtype"]).reshape(entry["shape"])
            levels = [] if layer == "base" else ["--level", entry["asset"]]
            run("read", "store", "dem", "--fresh", "--layer", layer, *levels, "--out", "level.npy", "--overwrite")
            want = np.load(WORK / "level.npy")
            check(f"zarrita, {layer}, level {entry['asset']}", np.array_equal(cells[: want.shape[0], : want.shape[1]], want, equal_nan=want.dtype.kind == "f"), f"{cells.shape} {want.shape}")


def wmts(address):
    """Layers and tiles as clients of WMTS find them by the capabilities."""
    plain = fetch(f"{address}/tiles/dem/9/86/198.png")[2]
    if owslib:
        from owslib.wmts import WebMapTileService

        service = WebMapTileService(f"{address}/wmts")
        check("WMTS: OWSLib finds the layer", list(service.contents) == ["dem"], list(service.contents))
        tile = service.gettile(layer="dem", tilematrixset="WebMercatorQuad", tilematrix="9", row=198, column=86, format="image/png")
        check("WMTS: OWSLib gets the tile", tile.read() == plain)
    if shutil.which("gdalinfo"):
        told = subprocess.run(["gdalinfo", "-json", f"WMTS:{address}/wmts,layer=dem"], capture_output=True, text=True)
        bands = json.loads(told.stdout)["bands"] if told.returncode == 0 else []
        check("WMTS: GDAL opens the layer", len(bands) == 4, told.stderr)


shutil.rmtree(WORK, ignore_errors=True)
WORK.mkdir(parents=True)
run("create", "store", "dem", "--like", ROOT / "tests/data/srtm.tif", "--aggregator", "mean,max", "--nodata", "-32768")
run("import", "store", "dem", ROOT / "tests/data/srtm.tif")
with served("store") as address:
    if address is not None:
        zarrita(address)
        wmts(address)
        map_page(address)
finish()
