"""Makes warp.json: what GDAL's warper makes of a small array with holes on the cells of a grid of 10 m and its levels.

    python3 warp.py > warp.json

`min`, `max` and `sum` onto cells of any size and offset. GDAL's `average` of parts of cells in target cells of many is not the mean
by area (26.77 for 26.08 in the first cell of level 2), so it is here for smaller ones only. GDAL's `mode` counts the cells that a target cell touches,
so it is here only where each of them is wholly in one target cell, and none of them is as frequent as another. Needs rasterio.
"""
import json

import numpy as np, rasterio
from rasterio.transform import Affine
from rasterio.warp import Resampling, reproject

HOLE = -1.0
rng = np.random.RandomState(3)
source = rng.randint(0, 50, (23, 19)).astype("f8")
source[5, 5] = source[0, 18] = source[10:14, 2:9] = HOLE
classes = rng.choice([1.0, 2.0, 3.0], (24, 20), p=[0.6, 0.25, 0.15])
classes[4:8, 4:8] = HOLE


def warped(cells, cell, start, level, rows, cols, shape, method):
    out = np.full(shape, HOLE)
    size = 10.0 * 2.0**level
    reproject(cells, out, src_transform=Affine(cell[1], 0, start[1], 0, cell[0], start[0]), src_crs="EPSG:32632", src_nodata=HOLE,
              dst_transform=Affine(size, 0, 1000 + cols * size, 0, -size, 2000 - rows * size), dst_crs="EPSG:32632", dst_nodata=HOLE,
              resampling=Resampling[method])
    return [None if v == HOLE else round(float(v), 10) for v in out.ravel()]


cases = []
for cell, start, level in [((-7.0, 7.0), (1999.0, 1003.0), -1), ((-17.0, 13.0), (2031.25, 978.5), 0), ((-7.0, 7.0), (1999.0, 1003.0), 2)]:
    size = 10.0 * 2.0**level
    top, left = int(np.floor((2000 - start[0]) / size)), int(np.floor((start[1] - 1000) / size))
    bottom = int(np.ceil((2000 - start[0] - 23 * cell[0]) / size))
    right = int(np.ceil((start[1] + 19 * cell[1] - 1000) / size))
    for method in ["average", "min", "max", "sum"] if level < 2 else ["min", "max", "sum"]:
        shape = [bottom - top, right - left]
        cells = warped(source, cell, start, level, top, left, shape, method)
        cases.append(dict(method=method, cell=cell, start=start, level=level, first=[top, left], shape=shape, cells=cells))
counts = [[(classes[4 * y:4 * y + 4, 4 * x:4 * x + 4] == c).sum() for c in (1, 2, 3)] for y in range(6) for x in range(5)]
assert all(sorted(c)[-1] > sorted(c)[-2] or sum(c) == 0 for c in counts), "no ties"
cells = warped(classes, (-5.0, 5.0), (2000.0, 1000.0), 1, 0, 0, (6, 5), "mode")
cases.append(dict(method="mode", cell=[-5.0, 5.0], start=[2000.0, 1000.0], level=1, first=[0, 0], shape=[6, 5], cells=cells))
plainly = lambda cells: [[None if v == HOLE else float(v) for v in row] for row in cells]
print(json.dumps(dict(gdal=rasterio.__gdal_version__, source=plainly(source), classes=plainly(classes), cases=cases)))
