#!/usr/bin/env python3
"""Reads with GDAL what the ignored test write_a_file_of_each_kind wrote, see README.md.

    check_written.py DIR --prepare      writes the WKT that the test embeds
    check_written.py DIR                compares cells, transform, nodata and reference system
"""
import glob
import os
import sys

import numpy as np
import rasterio
from rasterio.crs import CRS

directory = sys.argv[1]
WKT = {
    "projected": CRS.from_proj4("+proj=laea +lat_0=47 +lon_0=11 +x_0=1 +y_0=2 +ellps=WGS84 +units=m"),
    "geographic": CRS.from_proj4("+proj=longlat +ellps=bessel +pm=paris"),
}
if "--prepare" in sys.argv:
    os.makedirs(directory, exist_ok=True)
    for name, crs in WKT.items():
        with open(os.path.join(directory, name + ".wkt"), "w") as out:
            out.write(crs.to_wkt())
    sys.exit()

count = 0
for path in sorted(glob.glob(os.path.join(directory, "*.tif"))):
    name = os.path.basename(path)[:-4]
    place = name.startswith("place-")
    truth = np.load(os.path.join(directory, "place.npy" if place else name + ".npy"))
    with rasterio.open(path) as tif:
        cells = tif.read()
        assert cells.dtype == truth.dtype and cells.tobytes() == truth.tobytes(), name
        if not place:
            assert tif.transform.to_gdal() == (500010, 30, 0, 4100020.5, 0, -30), (name, tif.transform)
            assert tif.crs.to_epsg() == 32611, (name, tif.crs)
            limit = np.finfo if truth.dtype.kind == "f" else np.iinfo
            least = -np.inf if truth.dtype.kind == "f" else limit(truth.dtype).min
            assert tif.nodata == (least if "b2" in name else 3), (name, tif.nodata)
        else:
            dy = 0.5 if "south" in name else -0.5
            assert tif.transform.to_gdal() == (-10.25, 0.25, 0, 40.125, 0, dy), (name, tif.transform)
            assert (tif.descriptions, tif.scales, tif.offsets) == (("a <b> & c",), (0.5,), (-3.0,)), name
            wanted = {
                "place-geographic": CRS.from_epsg(4326), "place-south-up": CRS.from_epsg(3857), "place-wkt": WKT["projected"],
                "place-wkt-geographic": WKT["geographic"], "place-no-crs": None,
            }
            if name in wanted:
                assert tif.crs == wanted[name], (name, tif.crs)
            else:
                print(name, "has", tif.crs)
    count += 1
print(count, "files as written")
