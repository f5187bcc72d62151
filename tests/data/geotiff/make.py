#!/usr/bin/env python3
"""Writes small GeoTIFFs with GDAL and the list of what a reader must find in them, expected.txt.

    make.py DIR          the representative set that is kept in this directory
    make.py DIR --all    every combination; for a run by hand, see README.md

Needs rasterio (GDAL 3.7 or newer with the libtiff it bundles) and numpy. The cells are synthetic.
"""
import itertools
import os
import sys
import zlib

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import Affine

HEIGHT, WIDTH = (35, 41) if "--all" in sys.argv else (21, 19)
UTM = Affine(30, 0, 500010, 0, -30, 4100020)
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
PREDICTORS = {"NONE": [1], "PACKBITS": [1], "LZW": [1, 2, 3], "DEFLATE": [1, 2, 3], "ZSTD": [1, 2, 3]}


def cells(dtype, bands=1):
    """Smooth cells with the extremes of the type, so that predictors wrap; floats have every special value."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype("f8")
    layers = []
    for band in range(bands):
        field = np.sin(x / 5 + band) + np.cos(y / 4)
        if np.dtype(dtype).kind == "f":
            layer = (field * 1e3).astype(dtype)
            limit = np.finfo(dtype)
            layer[3, 4:12] = [limit.max, limit.min, limit.tiny, 0.0, -0.0, np.inf, -np.inf, np.nan]
        else:
            limit = np.iinfo(dtype)
            span = min(limit.max // 4, 1 << 20)
            layer = (field * span + (0 if limit.min < 0 else 2 * span)).astype(dtype)
            layer[3, 4:7] = [limit.max, limit.min, limit.max]
        layers.append(layer)
    return np.stack(layers)


class Matrix:
    def __init__(self, directory):
        self.directory = directory
        self.lines = []

    def path(self, name):
        return os.path.join(self.directory, name + ".tif")

    def write(self, name, data, transform=UTM, crs="EPSG:32611", tags=None, bands=None, **options):
        profile = dict(driver="GTiff", height=data.shape[1], width=data.shape[2], count=data.shape[0], dtype=data.dtype.name)
        if transform is not None:
            profile["transform"] = transform
        if crs is not None:
            profile["crs"] = crs
        with rasterio.open(self.path(name), "w", **profile, **options) as out:
            if data.size:
                out.write(data)
            if tags:
                out.update_tags(**tags)
            if bands:
                bands(out)
        self.expect(name)

    def expect(self, name, crs=None, nodata=None):
        with rasterio.open(self.path(name)) as tif:
            data = tif.read()
            little = np.ascontiguousarray(data.astype(data.dtype.newbyteorder("<")))
            place = "-" if tif.transform.is_identity else ",".join(repr(float(v)) for v in tif.transform.to_gdal())
            if crs is None:
                crs = f"EPSG:{tif.crs.to_epsg()}" if tif.crs else "-"
            if nodata is None:
                nodata = "-" if tif.nodata is None else repr(tif.nodata)
            shape = ",".join(map(str, data.shape))
            self.lines.append("\t".join([name, data.dtype.name, shape, f"{zlib.crc32(little.tobytes()):08x}", place, crs, nodata]))

    def amend(self, crs=None, nodata=None):
        """Says otherwise than GDAL what stands in the last file."""
        fields = self.lines[-1].split("\t")
        fields[5] = crs or fields[5]
        fields[6] = nodata or fields[6]
        self.lines[-1] = "\t".join(fields)

    def lossy(self):
        """Decoders of the last file differ by little: the means of its bands instead of a checksum."""
        fields = self.lines[-1].split("\t")
        with rasterio.open(self.path(fields[0])) as tif:
            fields[3] = "~" + ",".join(f"{mean:.3f}" for mean in tif.read().mean(axis=(1, 2)))
        self.lines[-1] = "\t".join(fields)

    def refuse(self, name, reason):
        self.lines.append(f"{name}\trefused\t{reason}")

    def finish(self):
        with open(os.path.join(self.directory, "expected.txt"), "w") as out:
            out.write("\n".join(self.lines) + "\n")


def combination(matrix, dtype, compress, predictor, tiled, bands, interleave, endian, big):
    options = dict(compress=compress, interleave=interleave, ENDIANNESS=endian, BIGTIFF="YES" if big else "NO")
    if predictor > 1:
        options["predictor"] = predictor
    options.update(dict(tiled=True, blockxsize=16, blockysize=32 if HEIGHT > 30 else 16) if tiled else dict(blockysize=8))
    name = "-".join(
        [dtype, compress.lower(), f"p{predictor}", "tiles" if tiled else "strips", f"b{bands}", interleave, endian.lower()]
        + (["big"] if big else [])
    )
    matrix.write(name, cells(dtype, bands), **options)


def combinations(every):
    """All combinations; or for each pair of type and coding one, the other choices taken in turn."""
    codings = [(c, p) for c, ps in PREDICTORS.items() for p in ps]
    layouts = list(itertools.product([False, True], [(1, "pixel"), (3, "pixel"), (6, "band")], ["LITTLE", "BIG"], [False, True]))
    turn = 0
    for dtype, (compress, predictor) in itertools.product(DTYPES, codings):
        if predictor == 3 and not dtype.startswith("float"):
            continue
        chosen = layouts if every else [layouts[turn % len(layouts)]]
        turn += 7
        # The bulky ones prove nothing that the others do not.
        if not every and compress in ("NONE", "PACKBITS") and dtype in ("uint64", "int64", "float64", "uint32", "int32"):
            chosen = [(turn % 2 == 0, (1, "pixel"), "BIG" if turn % 3 else "LITTLE", False)]
        for tiled, (bands, interleave), endian, big in chosen:
            if not every and np.dtype(dtype).itemsize * bands > 6:
                bands = 2 if np.dtype(dtype).itemsize < 8 else 1
            yield dtype, compress, predictor, tiled, bands, interleave, endian, big


def special(matrix):
    small = cells("int16")[:, :9, :11]
    matrix.write("point", small, tags={"AREA_OR_POINT": "Point"})
    matrix.write("south-up", small, transform=Affine(30, 0, 500010, 0, 30, 4100020))
    matrix.write("geographic", small, transform=Affine(0.1, 0, -12.5, 0, -0.2, 47.25), crs="EPSG:4326")
    matrix.write("plain", small, transform=None, crs=None)
    matrix.write("no-crs", small, crs=None)
    wkt = rasterio.crs.CRS.from_proj4("+proj=laea +lat_0=47 +lon_0=11 +x_0=1 +y_0=2 +ellps=WGS84 +units=m").to_wkt()
    matrix.write("user-defined", small, crs=wkt, GEOTIFF_KEYS_FLAVOR="ESRI_PE")
    matrix.amend(crs="~PROJCS")
    matrix.write("rotated", small, transform=Affine(30, 2, 500010, 3, -30, 4100020))
    matrix.lines.pop()
    matrix.refuse("rotated", "rotated or sheared")
    points = [GroundControlPoint(r, c, 1.0 * c, 2.0 * r) for r, c in [(0, 0), (0, 10), (8, 0), (8, 10)]]
    matrix.write("gcps", small, transform=None, crs=None, bands=lambda out: setattr(out, "gcps", (points, rasterio.crs.CRS.from_epsg(4326))))
    matrix.lines.pop()
    matrix.refuse("gcps", "ground control points")
    rpc = RPC(height_off=0, height_scale=1, lat_off=0, lat_scale=1, long_off=0, long_scale=1, line_off=0, line_scale=1, samp_off=0, samp_scale=1,
              line_num_coeff=[0] * 20, line_den_coeff=[1] + [0] * 19, samp_num_coeff=[0] * 20, samp_den_coeff=[1] + [0] * 19)
    matrix.write("rpc", small, transform=None, crs=None, bands=lambda out: setattr(out, "rpcs", rpc))
    matrix.lines.pop()
    matrix.refuse("rpc", "gdalwarp -dstalpha -rpc")

    floats = cells("float32")[:, :9, :11]
    matrix.write("nodata-f32-min", floats, nodata=-3.4028234663852886e38)
    matrix.write("nodata-nan", floats, nodata=float("nan"))
    matrix.write("nodata-i64-min", cells("int64")[:, :9, :11], nodata=-(2**63))
    # GDAL writes it as -9.2233720368547758e+18 and reads that as -9.
    matrix.amend(nodata=str(-(2**63)))
    matrix.write("nodata-i16", small, nodata=-32768)
    patched(matrix, "nodata-out-of-range", small, b"-32768\0", b"-99999\0", nodata=-32768)
    matrix.amend(nodata="-")
    with rasterio.open(matrix.path("sparse"), "w", driver="GTiff", height=40, width=50, count=2, dtype="int16", tiled=True, blockxsize=16,
                       blockysize=16, SPARSE_OK=True, nodata=-7, interleave="band", transform=UTM, crs="EPSG:32611") as out:
        out.write(np.full((16, 16), 5, "int16"), 2, window=rasterio.windows.Window(16, 16, 16, 16))
    matrix.expect("sparse")

    def describe(out):
        out.descriptions = ("height <above> & sea", "slope")
        out.scales = (0.5, 1.0)
        out.offsets = (10.0, 0.0)

    matrix.write("described", np.concatenate([small, small]), bands=describe)
    matrix.write("one-strip", small, compress="DEFLATE", blockysize=9)
    matrix.write("last-strip-short", small, compress="ZSTD", blockysize=4)
    for page in range(3):
        with rasterio.open(matrix.path("pages"), "w", driver="GTiff", height=9, width=11, count=1, dtype="int16", transform=UTM, crs="EPSG:32611",
                           APPEND_SUBDATASET="YES" if page else "NO") as out:
            out.write(small + page)
    with rasterio.open("GTIFF_DIR:1:" + matrix.path("pages")) as first:
        assert (first.read() == small).all()
    matrix.write("palette", small.astype("uint8"), bands=lambda out: out.write_colormap(1, {0: (1, 2, 3, 255)}))
    matrix.write("mask-and-value", small, nodata=int(small[0, 0, 0]), bands=lambda out: out.write_mask(small[0] > 0))
    matrix.write("units", np.concatenate([small, small]), bands=lambda out: setattr(out, "units", ("degC", "mm")))
    matrix.write("white-is-zero", small.astype("uint8"), photometric="MINISWHITE")
    with rasterio.open(matrix.path("overviews"), "w", driver="COG", height=600, width=600, count=1, dtype="uint8", transform=UTM,
                       crs="EPSG:32611", blocksize=128, compress="LZW", predictor="YES", nodata=0) as out:
        out.write((np.add.outer(np.arange(600), np.arange(600)) // 50).astype("uint8"), 1)
    matrix.expect("overviews")
    patched(matrix, "old-deflate", small, b"\x03\x01\x03\0\1\0\0\0\x08\0", b"\x03\x01\x03\0\1\0\0\0\xb2\x80", compress="DEFLATE")
    rgb = np.repeat(small.astype("uint8"), 3, axis=0)
    for name, options in [
        ("jpeg", dict(compress="JPEG")),
        ("jpeg-ycbcr", dict(compress="JPEG", photometric="YCBCR")),
        ("jpeg-rgb-tiles", dict(compress="JPEG", photometric="RGB", tiled=True, blockxsize=16, blockysize=16)),
        ("webp", dict(compress="WEBP")),
    ]:
        smooth = np.stack([np.add.outer(np.arange(40) * (2 + i), np.arange(50) * (3 - i)).astype("uint8") // 2 + 20 for i in range(3)])
        matrix.write(name, smooth, **options)
        if name == "jpeg-ycbcr":
            matrix.lines.pop()
            matrix.refuse(name, "colours that several cells share")
        else:
            matrix.lossy()
    matrix.write("jpeg-four", np.concatenate([smooth, smooth[:1]]), compress="JPEG", photometric="MINISBLACK", ALPHA="NO")
    matrix.lines.pop()
    matrix.refuse("jpeg-four", "4 samples a cell")
    matrix.write("jpeg-gray", smooth[:1], compress="JPEG", blockysize=16)
    matrix.lossy()
    matrix.write("webp-lossless", smooth, compress="WEBP", WEBP_LOSSLESS="YES")
    matrix.write("lerc", rgb, compress="LERC")
    finite = np.where(np.isinf(floats) | (abs(floats) > 1e9), 7, floats)
    matrix.write("lerc-float", finite, compress="LERC")
    matrix.write("lerc-deflate", small, compress="LERC_DEFLATE", tiled=True, blockxsize=16, blockysize=16)
    matrix.write("lerc-zstd", finite.astype("float64"), compress="LERC_ZSTD", blockysize=4)
    matrix.write("lerc-big", small, compress="LERC", ENDIANNESS="BIG")
    matrix.write("lzma", rgb, compress="LZMA")
    matrix.write("lzma-predictor", small, compress="LZMA", predictor=2)
    for bits in (1, 2, 3, 4, 7):
        matrix.write(f"bits-{bits}", rgb & (2**bits - 1), nbits=bits, interleave="pixel" if bits % 2 else "band")
    matrix.write("bits-12", small.astype("uint16") & 4095, nbits=12)
    matrix.write("bits-12-big", small.astype("uint16") & 4095, nbits=12, ENDIANNESS="BIG", compress="DEFLATE")
    matrix.write("bits-20", small.astype("uint32") & 0xFFFFF, nbits=20, compress="LZW")
    matrix.write("float16", np.clip(floats, -6e4, 6e4), nbits=16)
    matrix.write("float16-big", np.clip(floats, -6e4, 6e4), nbits=16, ENDIANNESS="BIG", compress="DEFLATE")
    matrix.write("complex", floats.astype("complex64"))
    matrix.lines.pop()
    matrix.refuse("complex", "complex")
    masks(matrix)


def masks(matrix):
    """Files that say which cells hold data; NAME.valid.npy is what GDAL takes for it."""
    small = np.arange(35 * 41, dtype="uint16").reshape(1, 35, 41)
    ring = np.hypot(*np.mgrid[-17:18, -20:21]) < 16

    def keep(name):
        with rasterio.open(matrix.path(name)) as tif:
            np.save(os.path.join(matrix.directory, name + ".valid.npy"), ~np.ma.getmaskarray(tif.read(masked=True))[: tif.count])

    for name, inside, options in [
        ("mask-inside", "YES", dict(compress="DEFLATE")),
        ("mask-tiles", "YES", dict(tiled=True, blockxsize=16, blockysize=16)),
        ("mask-beside", "NO", {}),
    ]:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside), rasterio.open(
            matrix.path(name), "w", driver="GTiff", height=35, width=41, count=1, dtype="uint16", transform=UTM, crs="EPSG:32611", **options
        ) as out:
            out.write(small)
            out.write_mask(ring)
        keep(name)
    for name, colours, dtype, options in [
        ("alpha-rgb", 3, "uint8", dict(photometric="RGB", alpha="YES")),
        ("alpha-webp", 3, "uint8", dict(photometric="RGB", alpha="YES", compress="WEBP", WEBP_LOSSLESS="YES")),
        ("alpha-lerc", 3, "uint8", dict(photometric="RGB", alpha="YES", compress="LERC", interleave="pixel")),
        ("alpha-gray", 1, "uint8", dict(alpha="YES", interleave="band")),
        ("alpha-premultiplied", 3, "uint16", dict(photometric="RGB", alpha="PREMULTIPLIED", interleave="pixel", tiled=True, blockxsize=16, blockysize=16)),
    ]:
        bands = np.repeat((small % 250).astype(dtype), colours, axis=0)
        alpha = np.where(ring, np.iinfo(dtype).max, 0).astype(dtype)[None]
        alpha[0, 17, 20] = 3  # hardly to be seen, but there
        with rasterio.open(matrix.path(name), "w", driver="GTiff", height=35, width=41, count=colours + 1, dtype=dtype, transform=UTM,
                           crs="EPSG:32611", **options) as out:
            out.write(np.concatenate([bands, alpha]))
        with rasterio.open(matrix.path(name)) as tif:
            assert tif.colorinterp[-1].name == "alpha", name
            np.save(os.path.join(matrix.directory, name + ".valid.npy"), np.repeat(tif.read(colours + 1)[None] > 0, colours, axis=0))


def patched(matrix, name, data, old, new, **options):
    """A file whose bytes are changed where GDAL would not write them so."""
    matrix.write(name, data, **options)
    with open(matrix.path(name), "r+b") as file:
        content = file.read()
        assert content.count(old) == 1, (name, content.count(old))
        file.seek(0)
        file.write(content.replace(old, new))


def main():
    matrix = Matrix(sys.argv[1])
    os.makedirs(sys.argv[1], exist_ok=True)
    for choice in combinations("--all" in sys.argv):
        combination(matrix, *choice)
    special(matrix)
    matrix.finish()
    print(len(matrix.lines), "files")


if __name__ == "__main__":
    main()
