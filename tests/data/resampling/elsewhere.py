"""Makes elsewhere.json: what GDAL's warper makes of a small array with holes on targets of other systems.

    python3 elsewhere.py > elsewhere.json

`near` and `bilinear` by `gdalwarp -et 0`, which places every centre exactly. Needs the programs of GDAL.
"""
import json
import os
import subprocess
import tempfile

ROWS, COLS, HOLE = 24, 20, -1.0
SYSTEM, LEFT, TOP, CELL = "EPSG:32632", 400000.0, 5000000.0, 30.0
TARGETS = [
    ("EPSG:4326", [7.7273, 45.1467, 0.00031, -0.00023], [30, 28]),
    ("EPSG:3857", [860100.0, 5644660.0, 37.0, -29.0], [38, 32]),
    ("EPSG:3035", [4141900.0, 2451140.0, 21.0, -25.0], [40, 44]),
]


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def cell(row, col):
    if 5 <= row < 8 and 11 <= col < 16:
        return HOLE
    return float((row * 31 + col * 17) % 23) + row / 8


cells = [[cell(row, col) for col in range(COLS)] for row in range(ROWS)]
cases = []
with tempfile.TemporaryDirectory() as folder:
    asc, source, warped, xyz = (os.path.join(folder, name) for name in ("a.asc", "a.tif", "b.tif", "b.xyz"))
    with open(asc, "w") as out:
        out.write(f"ncols {COLS}\nnrows {ROWS}\nxllcorner {LEFT}\nyllcorner {TOP - ROWS * CELL}\ncellsize {CELL}\nNODATA_value {HOLE}\n")
        out.writelines(" ".join(map(repr, row)) + "\n" for row in cells)
    run("gdal_translate", "-q", "-ot", "Float64", "-a_srs", SYSTEM, asc, source)
    for system, (x, y, dx, dy), (rows, cols) in TARGETS:
        extent = [str(of) for of in (x, y + dy * rows, x + dx * cols, y)]
        for method in ("near", "bilinear"):
            run("gdalwarp", "-q", "-overwrite", "-et", "0", "-r", method, "-t_srs", system, "-te", *extent, "-ts", str(cols), str(rows), source, warped)
            run("gdal_translate", "-q", "-of", "XYZ", "-co", "SIGNIFICANT_DIGITS=15", warped, xyz)
            with open(xyz) as lines:
                found = [float(line.split()[2]) for line in lines]
            assert len(found) == rows * cols
            found = [None if value == HOLE else round(value, 9) for value in found]
            cases.append(dict(method=method, crs=system, corner=[x, y, dx, dy], shape=[rows, cols], cells=found))
version = subprocess.run(["gdalwarp", "--version"], check=True, capture_output=True, text=True).stdout.split(",")[0]
plainly = [[None if value == HOLE else value for value in row] for row in cells]
print(json.dumps(dict(gdal=version, crs=SYSTEM, corner=[LEFT, TOP, CELL, -CELL], source=plainly, cases=cases)))
