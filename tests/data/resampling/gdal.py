"""Makes gdal.json: what GDAL's RasterIO makes of a small array in other shapes, where its rules are those of gridstone.

    python3 gdal.py > gdal.json

`nearest`, `bilinear` and `cubic` of cells that all hold data; `average` of cells of which some are NaN. Needs rasterio.
"""
import json, warnings

import numpy as np, rasterio
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

warnings.filterwarnings("ignore")
HEIGHT, WIDTH = 12, 10
y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
plain = ((y * 37 + x * 101) % 64).astype("f8") - 20
holed = plain.copy()
holed[(y * 5 + x * 3) % 7 == 0] = np.nan
holed[8:, 6:] = np.nan


def resampled(cells, shape, method):
    with MemoryFile() as memory:
        profile = dict(driver="GTiff", height=HEIGHT, width=WIDTH, count=1, dtype="float64", nodata=np.nan, transform=from_origin(0, HEIGHT, 1, 1))
        with memory.open(**profile) as raster:
            raster.write(cells, 1)
        with memory.open() as raster:
            return raster.read(1, out_shape=shape, resampling=Resampling[method])


def plainly(cells):
    return [None if np.isnan(v) else float(v) for v in cells.ravel()]


cases = []
for method, shapes in {"nearest": [(6, 5), (24, 20), (5, 4), (7, 13)], "bilinear": [(24, 20), (6, 5), (18, 25), (5, 4)],
                       "cubic": [(24, 20), (6, 5), (18, 25)], "average": [(6, 5), (4, 5), (3, 2), (1, 1), (5, 4), (7, 3)]}.items():
    source = holed if method == "average" else plain
    cases += [dict(method=method, shape=shape, cells=plainly(resampled(source, shape, method))) for shape in shapes]
print(json.dumps(dict(gdal=rasterio.__gdal_version__, height=HEIGHT, width=WIDTH, plain=plainly(plain), holed=plainly(holed), cases=cases)))
