#!/usr/bin/env python3
"""Files whose keys or tags contradict each other, or are written in unusual ways: `make_keys.py DIRECTORY`. Needs tifffile and numpy."""
import os
import struct
import sys

import numpy as np
import tifffile

PLACE = [(33550, "d", 3, (10.0, 10.0, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, 5e5, 5e6, 0.0), True)]


def keys(*entries):
    """The directory of GeoTIFF keys, each a short."""
    numbers = [1, 1, 0, len(entries)]
    for key, value in entries:
        numbers += [key, 0, 1, value]
    return (34735, "H", len(numbers), tuple(numbers), True)


def main(directory):
    os.makedirs(directory, exist_ok=True)

    def write(name, *tags):
        cells = np.arange(6, dtype="u1").reshape(2, 3)
        tifffile.imwrite(os.path.join(directory, name + ".tif"), cells, extratags=tags, metadata=None, software=False)

    projected = [(1024, 1), (1025, 1), (3072, 32632)]
    geographic = [(1024, 2), (1025, 1), (2048, 4326)]
    write("same-datum", *PLACE, keys(*projected[:2], (2048, 4326), projected[2]))
    write("other-datum", *PLACE, keys(*projected[:2], (2048, 4267), projected[2]))
    write("degrees", *PLACE, keys(*geographic, (2051, 8901), (2054, 9102)))
    write("gon", *PLACE, keys(*geographic, (2054, 9105)))
    write("arc-seconds", *PLACE, keys(*geographic, (2054, 9104)))
    write("from-paris", *PLACE, keys(*geographic, (2051, 8903)))
    write("unplaced", keys(*projected))
    write("turned", *PLACE, keys(*projected), (274, "H", 1, 6, True))
    document = """<GDALMetadata>
  <!-- <Item name="SCALE" sample="0" role="scale">9</Item> -->
  <Items/><Item name="x"><Item name="SCALE" sample="0" role="scale">7</Item></Item>
  <Item
    name = "SCALE"	sample = '0'
    role="SCALE">0.5</Item>
  <Item name="OFFSET" sample="0" role="offset" >1</Item>
</GDALMetadata>
"""
    write("spread-out", *PLACE, keys(*projected), (42112, "s", len(document) + 1, document, True))

    def placed(shear):
        matrix = (10.0, shear, 0.0, 5e5, 0.0, -10.0, 0.0, 5e6, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
        return (34264, "d", 16, matrix, True)

    write("hardly-sheared", placed(1e-11), keys(*projected))
    write("sheared", placed(1e-7), keys(*projected))
    tab = """!table
!version 300
!charset WindowsLatin1

Definition Table
  File "by-tab.tif"
  Type "RASTER"
  (500000,5000000) (0,0) Label "1",
  (500030,5000000) (3,0) Label "2",
  (500000,4999980) (0,2) Label "3"
  CoordSys Earth Projection 8, 104, "m", 9, 0, 0.9996, 500000, 0
  Units "m"
"""
    point = '<GCP Id="%s" Pixel="%d" Line="%d" X="%d" Y="%d"/>'
    points = [point % (name, x, y, 500000 + 10 * x, 5000000 - 10 * y + x) for name, x, y in [("1", 0, 0), ("2", 3, 0), ("3", 0, 2)]]
    points = '<PAMDataset><GCPList Projection="EPSG:32632">%s</GCPList></PAMDataset>' % "".join(points)
    for name, end, text in [("by-tab", ".tab", tab), ("by-points", ".tif.aux.xml", points), ("by-polynomials", "_RPC.TXT", "LINE_OFF: 1\n")]:
        write(name)
        with open(os.path.join(directory, name + end), "w") as beside:
            beside.write(text)
    write("classes", *PLACE, keys(*projected))
    with open(os.path.join(directory, "classes.tif.aux.xml"), "w") as beside:
        beside.write('<PAMDataset><PAMRasterBand band="1"><CategoryNames><Category>none</Category></CategoryNames></PAMRasterBand></PAMDataset>')
    # Signed integers of 12 bits, the highest first; each row begins at a byte.
    numbers = [[-2048, -1, 0], [1, 2047, -5]]
    rows = [sum((number & 0xFFF) << 12 * (2 - at) for at, number in enumerate(row)) for row in numbers]
    packed = b"".join((row << 4).to_bytes(5, "big") for row in rows)
    entries = [(256, 3), (257, 2), (258, 12), (259, 1), (262, 1), (273, 134), (277, 1), (278, 2), (279, len(packed)), (339, 2)]
    with open(os.path.join(directory, "signed-12.tif"), "wb") as file:
        file.write(b"II*\0" + struct.pack("<IH", 8, len(entries)))
        file.write(b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries) + bytes(4) + packed)
    # Stacks that have a directory for their first image only.
    stack = np.arange(40, dtype="u1").reshape(4, 2, 5)
    tifffile.imwrite(os.path.join(directory, "stack.tif"), stack, truncate=True, photometric="minisblack", software=False)
    tifffile.imwrite(os.path.join(directory, "stack-of-imagej.tif"), stack, truncate=True, imagej=True, software=False)
    cells = np.arange(6, dtype="u1").reshape(2, 3)
    with tifffile.TiffWriter(os.path.join(directory, "within.tif")) as tif:
        plain = {"metadata": None, "software": False}
        tif.write(cells, subifds=2, extratags=[*PLACE, keys(*projected)], **plain)
        tif.write(cells + 100, **plain)
        tif.write(cells[::2, ::2], subfiletype=1, **plain)


if __name__ == "__main__":
    main(sys.argv[1])
