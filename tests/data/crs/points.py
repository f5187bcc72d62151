"""Writes points.tsv: places of systems as PROJ has them. Needs pyproj; run in this directory.

Made with pyproj 3.7.2, which brings PROJ 9.5.1, without grids of shifts."""

import pyproj
from pyproj import CRS, Transformer

SINUSOIDAL = (
    'PROJCS["unnamed",GEOGCS["Unknown datum based upon the custom spheroid",'
    'DATUM["Not_specified",SPHEROID["Custom spheroid",6371007.181,0]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433]],PROJECTION["Sinusoidal"],PARAMETER["longitude_of_center",0],'
    'PARAMETER["false_easting",0],PARAMETER["false_northing",0],UNIT["metre",1]]'
)
WGS84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'
)


def plane(method, unit=1, **values):
    parameters = "".join(f',PARAMETER["{name}",{value}]' for name, value in values.items())
    name = "metre" if unit == 1 else "US survey foot"
    return f'PROJCS["own",{WGS84},PROJECTION["{method}"]{parameters},UNIT["{name}",{unit}]]'


# The system, and west, south, east, north of where it is used.
SYSTEMS = [
    ("EPSG:32632", (6, 0, 12, 84)),
    ("EPSG:32755", (144, -80, 150, 0)),
    ("EPSG:25833", (12, 37, 18, 84)),
    ("EPSG:26910", (-126, 30, -120, 82)),
    ("EPSG:3857", (-179, -85, 179, 85)),
    ("EPSG:3395", (-179, -80, 179, 84)),
    ("EPSG:3035", (-16, 33, 33, 71)),
    ("EPSG:3034", (-16, 33, 33, 71)),
    ("EPSG:2154", (-9, 42, 10, 51)),
    ("EPSG:2229", (-121, 33, -115, 35.8)),
    ("EPSG:3031", (-179, -89.5, 179, -60)),
    ("EPSG:3413", (-179, 60, 179, 89.5)),
    ("EPSG:27700", (-8, 50, 1.9, 60.9)),
    ("EPSG:2056", (6, 46, 10.4, 47.8)),
    ("EPSG:31370", (2.5, 49.5, 6.4, 51.5)),
    ("EPSG:28992", (3.3, 50.8, 7.2, 53.5)),
    ("EPSG:5070", (-124, 24, -67, 49)),
    ("EPSG:3577", (113, -43, 153, -10)),
    ("EPSG:2193", (166, -47, 178, -34)),
    ("EPSG:6933", (-179, -86, 179, 86)),
    ("EPSG:6931", (-179, 1, 179, 89.5)),
    ("EPSG:4258", (-16, 33, 33, 71)),
    ("EPSG:4269", (-170, 24, -67, 82)),
    ("EPSG:4277", (-8, 50, 1.9, 60.9)),
    ("EPSG:4283", (113, -43, 153, -10)),
    (SINUSOIDAL, (-179, -89, 179, 89)),
    (plane("Transverse_Mercator", latitude_of_origin=10, central_meridian=20, scale_factor=0.999, false_easting=1000, false_northing=2000), (15, 0, 25, 80)),
    (plane("Lambert_Conformal_Conic_2SP", 0.304800609601219, latitude_of_origin=40, central_meridian=-100, standard_parallel_1=42, standard_parallel_2=49, false_easting=100, false_northing=0), (-115, 35, -85, 55)),
    (plane("Lambert_Conformal_Conic_1SP", latitude_of_origin=30, central_meridian=10, scale_factor=0.99, false_easting=0, false_northing=5), (-5, 20, 25, 45)),
    (plane("Lambert_Azimuthal_Equal_Area", latitude_of_center=5, longitude_of_center=20, false_easting=0, false_northing=0), (-15, -33, 50, 36)),
    (plane("Albers_Conic_Equal_Area", latitude_of_center=0, longitude_of_center=25, standard_parallel_1=20, standard_parallel_2=-23.5, false_easting=0, false_northing=0), (-15, -33, 50, 36)),
    (plane("Polar_Stereographic", latitude_of_origin=75, central_meridian=30, scale_factor=1, false_easting=0, false_northing=0), (-179, 60, 179, 89.5)),
    (plane("Mercator_1SP", central_meridian=110, scale_factor=0.997, false_easting=3900000, false_northing=900000), (95, -10, 140, 6)),
    (plane("Mercator_2SP", standard_parallel_1=20, central_meridian=0, false_easting=0, false_northing=0), (-100, -70, 100, 70)),
    (plane("Equirectangular", standard_parallel_1=30, central_meridian=10, false_easting=0, false_northing=0), (-100, -70, 100, 70)),
    (plane("Cylindrical_Equal_Area", standard_parallel_1=30, central_meridian=0, false_easting=0, false_northing=0), (-179, -86, 179, 86)),
]

if __name__ == "__main__":
    pyproj.network.set_network_enabled(False)
    with open("points.tsv", "w") as out:
        out.write("# system, longitude and latitude of WGS 84, x and y by PROJ; by points.py\n")
        for system, (west, south, east, north) in SYSTEMS:
            to = Transformer.from_crs(4326, CRS.from_user_input(system), always_xy=True)
            for part in range(25):
                row, col = divmod(part, 5)
                lon = west + (east - west) * (col + 0.07 * row) / 4.3
                lat = south + (north - south) * (row + 0.05 * col) / 4.2
                x, y = to.transform(lon, lat)
                out.write(f"{system}\t{float(lon)!r}\t{float(lat)!r}\t{float(x)!r}\t{float(y)!r}\n")
