# The figures of tests/suite/cli/stats.rs, from the cells of srtm.tif whose centres lie in each region, by numpy and rasterio.
# Run from the root of the repository: python3 tests/data/statistics.py
import numpy as np, rasterio
from rasterio.features import geometry_mask
with rasterio.open('tests/data/srtm.tif') as f:
    a = f.read(1); t = f.transform
def show(name, mask):
    v = a[mask].astype(np.int64)
    print(name, len(v), v.sum(), repr(v.mean()), v.min(), v.max(), repr(v.std()))
rows, cols = np.indices(a.shape)
x = t.c + (cols + .5) * t.a; y = t.f + (rows + .5) * t.e
show('all', np.ones(a.shape, bool))
w, s, e, n = -119.4, 37.1, -119.05, 37.33
box = (x >= w) & (x < e) & (y >= s) & (y < n)
show('extent', box)
show('where', box & (a >= 1500) & (a < 2000))
poly = {"type": "Polygon", "coordinates": [
  [[-119.45, 37.05], [-119.02, 37.12], [-119.1, 37.4], [-119.31, 37.22], [-119.42, 37.41], [-119.45, 37.05]],
  [[-119.3, 37.1], [-119.2, 37.1], [-119.2, 37.2], [-119.3, 37.2], [-119.3, 37.1]]]}
m = geometry_mask([poly], a.shape, t, invert=True)
show('polygon', m)
print(np.histogram(a[m], bins=5, range=(0, 4000)))
v, c = np.unique(a[m & (a >= 2500) & (a <= 2505)], return_counts=True); print(list(zip(v.tolist(), c.tolist())))
