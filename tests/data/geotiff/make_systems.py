#!/usr/bin/env python3
"""Writes one small GeoTIFF a coordinate reference system with GDAL, and systems.txt: what GDAL says the system is.

    make_systems.py DIR

A line a system, separated by tabs: name, the system in WKT 1 of GDAL, in WKT 2, and in WKT 1 of ESRI (`-` where ESRI has other
parameters). Each file has one cell and keys of GeoTIFF without a code of the system. Needs rasterio (GDAL 3.10).
"""
import os
import struct
import sys
import warnings

import numpy as np
import rasterio
from rasterio.crs import CRS

warnings.filterwarnings("ignore")
SYSTEMS = {
    "laea-10": "+proj=laea +lat_0=52 +lon_0=10 +datum=WGS84",
    "laea-25": "+proj=laea +lat_0=52 +lon_0=25 +datum=WGS84",
    "laea-sphere": "+proj=laea +lat_0=52 +lon_0=10 +R=6371228",
    "laea-offset": "+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000 +ellps=GRS80",
    "albers-nad83": "+proj=aea +lat_0=40 +lon_0=-96 +lat_1=50 +lat_2=70 +datum=NAD83",
    "albers-feet": "+proj=aea +lat_0=23 +lon_0=-96 +lat_1=29.5 +lat_2=45.5 +datum=NAD27 +units=us-ft",
    "utm-intl": "+proj=utm +zone=32 +ellps=intl",
    "utm-south": "+proj=utm +zone=19 +south +ellps=bessel",
    "utm-km": "+proj=utm +zone=33 +datum=WGS84 +units=km",
    "utm-feet": "+proj=utm +zone=10 +datum=NAD27 +units=us-ft",
    "laea-own-unit": "+proj=laea +lat_0=5 +lon_0=16 +datum=WGS84 +to_meter=0.7312",
    "laea-km": "+proj=laea +lat_0=5 +lon_0=15 +x_0=500000 +datum=WGS84 +units=km",
    "tmerc": "+proj=tmerc +lat_0=1 +lon_0=2 +k=0.9 +x_0=3 +y_0=4 +datum=WGS84",
    "tmerc-shift": "+proj=tmerc +lat_0=0 +lon_0=9 +k=1 +x_0=3500000 +ellps=bessel +towgs84=598.1,73.7,418.2,0.202,0.045,-2.455,6.7",
    "tmerc-paris": "+proj=tmerc +lat_0=1 +lon_0=2 +k=0.9 +ellps=clrk80 +pm=paris",
    "omerc-a": "+proj=omerc +lat_0=4 +lonc=102 +alpha=323 +k=0.99 +gamma=320 +no_uoff +ellps=WGS84",
    "omerc-b": "+proj=omerc +lat_0=4 +lonc=102 +alpha=323 +k=0.99 +gamma=320 +ellps=WGS84",
    "merc-parallel": "+proj=merc +lat_ts=10 +lon_0=3 +ellps=WGS84",
    "merc-scale": "+proj=merc +k=0.9 +lon_0=3 +ellps=WGS84",
    "lcc-2": "+proj=lcc +lat_1=40 +lat_2=50 +lat_0=45 +lon_0=3 +datum=NAD83",
    "lcc-1": "+proj=lcc +lat_1=40 +lat_0=40 +k_0=0.9 +lon_0=3 +R=6370000",
    "lcc-touching": "+proj=lcc +lat_1=38.5 +lat_2=38.5 +lat_0=38.5 +lon_0=-97.5 +R=6371229",
    "aeqd": "+proj=aeqd +lat_0=5 +lon_0=6 +datum=WGS84",
    "eqdc": "+proj=eqdc +lat_1=10 +lat_2=20 +lat_0=15 +lon_0=3",
    "stere": "+proj=stere +lat_0=50 +lon_0=6 +k=0.9 +ellps=bessel",
    "stere-north": "+proj=stere +lat_0=90 +lat_ts=60 +lon_0=6 +R=6371229",
    "stere-south": "+proj=stere +lat_0=-90 +lat_ts=-71 +lon_0=6 +datum=WGS84",
    "stere-scale": "+proj=stere +lat_0=90 +k=0.994 +lon_0=6 +datum=WGS84",
    "sterea": "+proj=sterea +lat_0=52 +lon_0=5 +k=0.9999 +x_0=155000 +y_0=463000 +ellps=bessel",
    "eqc": "+proj=eqc +lat_ts=10 +lon_0=6 +datum=WGS84",
    "cass": "+proj=cass +lat_0=5 +lon_0=6",
    "gnom": "+proj=gnom +lat_0=5 +lon_0=6 +R=6371000",
    "mill": "+proj=mill +lon_0=6 +R=6371000",
    "ortho": "+proj=ortho +lat_0=5 +lon_0=6 +R=6371000",
    "poly": "+proj=poly +lat_0=5 +lon_0=6",
    "robin": "+proj=robin +lon_0=6",
    "sinu-modis": "+proj=sinu +R=6371007.181",
    "sinu-other": "+proj=sinu +lon_0=10 +R=6371007.181",
    "vandg": "+proj=vandg +lon_0=6 +R=6371000",
    "tmerc-south": "+proj=tmerc +axis=wsu +lat_0=0 +lon_0=29 +ellps=WGS84",
    "cea": "+proj=cea +lat_ts=30 +lon_0=0 +datum=WGS84",
    "moll": "+proj=moll +lon_0=5",
    "moll-nad27": "+proj=moll +lon_0=5 +datum=NAD27",
    "moll-coded": 'PROJCS["x",GEOGCS["NAD83",DATUM["North_American_Datum_1983",SPHEROID["GRS 1980",6378137,298.257222101]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433],AUTHORITY["EPSG","4269"]],PROJECTION["Mollweide"],PARAMETER["central_meridian",20],PARAMETER["false_easting",0],PARAMETER["false_northing",0],UNIT["metre",1]]',
    "geos": "+proj=geos +h=35785831 +lon_0=0 +a=6378169 +b=6356583.8",
    "longlat-sphere": "+proj=longlat +R=6371229",
    "longlat-paris": "+proj=longlat +ellps=bessel +pm=paris",
    "longlat-clarke": "+proj=longlat +ellps=clrk66",
    "sphere-beside-code": "ESRI:53004",  # a code whose ellipsoid EPSG has changed, and the axes that were meant
}


# Systems with a code, whose coordinates the file has in another unit or in the code's own: name, code, unit of the code, unit of
# the file.
WITH_UNITS = [
    ("code-in-km", "EPSG:32634", 9001, 9036),
    ("code-in-feet", "EPSG:32635", 9001, 9002),
    ("code-in-yards", "EPSG:27291", 9040, 9040),
    ("code-in-chains", "EPSG:3167", 9301, 9301),
    ("code-in-links", "EPSG:3140", 9098, 9098),
]


def with_units(directory):
    """Files of GDAL with a number in the key of the unit of lengths; what GDAL reads them as."""
    for name, code, own, other in WITH_UNITS:
        path = os.path.join(directory, name + ".tif")
        profile = dict(driver="GTiff", height=1, width=1, count=1, dtype="uint8", crs=code, transform=rasterio.Affine(10, 0, 0, 0, -10, 0))
        with rasterio.open(path, "w", **profile) as out:
            out.write(np.zeros((1, 1, 1), "uint8"))
        with open(path, "rb") as file:
            stored = file.read()
        keys = [struct.pack("<4H", 3076, 0, 1, unit) for unit in (own, other)]
        assert stored.count(keys[0]) == 1
        with open(path, "wb") as file:
            file.write(stored.replace(*keys))
        with rasterio.open(path) as back:
            yield "\t".join([name, back.crs.to_wkt(version="WKT1_GDAL"), back.crs.to_wkt(version="WKT2_2019"), "-"])


def main(directory):
    os.makedirs(directory, exist_ok=True)
    lines = []
    for name, text in SYSTEMS.items():
        system = CRS.from_user_input(text)
        profile = dict(driver="GTiff", height=1, width=1, count=1, dtype="uint8", crs=system, transform=rasterio.Affine(10, 0, 0, 0, -10, 0))
        with rasterio.open(os.path.join(directory, name + ".tif"), "w", **profile) as out:
            out.write(np.zeros((1, 1, 1), "uint8"))
        with rasterio.open(os.path.join(directory, name + ".tif")) as back:
            read = back.crs
        if read is None or read.to_proj4() != system.to_proj4():
            print(name, "is read by GDAL as", read and read.to_proj4(), "for", system.to_proj4())
        esri = system.to_wkt(version="WKT1_ESRI")
        if CRS.from_wkt(esri).to_proj4() != system.to_proj4():
            esri = "-"
        lines.append("\t".join([name, system.to_wkt(version="WKT1_GDAL"), system.to_wkt(version="WKT2_2019"), esri]))
    lines += with_units(directory)
    with open(os.path.join(directory, "systems.txt"), "w") as out:
        out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
