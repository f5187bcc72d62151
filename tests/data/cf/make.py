"""Writes the files of this folder and expected.json: python make.py (netCDF4 1.7, cftime 1.6, h5py 3, numpy 2).

Of each file `expected.json` has what netCDF4 and cftime make of it: the times, in their own calendar, and the values, masked and
scaled, as the bits of doubles, integers as they are; or that it has to be refused, and what the refusal has to name.
"""
import json
import struct
from pathlib import Path

import cftime
import h5py
import netCDF4
import numpy as np

HERE = Path(__file__).parent
EXPECTED = {}
rng = np.random.default_rng(11)
LAT, LON = ("lat", [46.0, 45.5, 45.0]), ("lon", [10.0, 10.5, 11.0, 11.5])


def make(name, times=None, model="NETCDF3_CLASSIC", **dims):
    """A file with latitudes and longitudes, and a dimension of time with its coordinate, if there is one."""
    d = netCDF4.Dataset(HERE / f"{name}.nc", "w", format=model)
    for axis, values, units in ((*LAT, "degrees_north"), (*LON, "degrees_east")):
        d.createDimension(axis, len(values))
        d.createVariable(axis, "f8", (axis,))[:] = values
        d[axis].units = units
    for dim, size in dims.items():
        d.createDimension(dim, size)
    if times is not None:
        numbers, units, calendar = times
        d.createDimension("time", len(numbers))
        add(d, "time", "f8", ("time",), numbers, units=units, **(dict(calendar=calendar) if calendar else {}))
    return d


def add(d, name, dtype, dims, values, **attributes):
    fill = attributes.pop("_FillValue", None)
    v = d.createVariable(name, dtype, dims, fill_value=fill)
    v.set_auto_maskandscale(False)
    v.setncatts(attributes)
    if values is not None:
        v[:] = np.asarray(values).astype(dtype) if dtype != "S1" else values
    return v


def field(d, dims=("time", "lat", "lon"), dtype="f4", name="v", **attributes):
    shape = [len(d.dimensions[dim]) for dim in dims]
    return add(d, name, dtype, dims, rng.normal(280, 9, shape), **attributes)


def shown(numbers, units, calendar="standard", **how):
    times = np.atleast_1d(cftime.num2date(numbers, units, calendar, **how))
    text = lambda t: f"{'-' if t.year < 0 else ''}{abs(t.year):04}-{t.month:02}-{t.day:02}T{t.hour:02}:{t.minute:02}:{t.second:02}Z"
    return [text(t) for t in times]


def bits(values):
    if np.ma.asarray(values).dtype.kind in "iu":  # no doubles
        mask = np.ma.getmaskarray(values).ravel()
        return [None if missing else str(v) for v, missing in zip(np.ma.getdata(values).ravel(), mask)]
    values = np.ma.filled(np.ma.asarray(values, "f8"), np.nan)
    return [None if np.isnan(v) else struct.pack(">d", v).hex() for v in values.ravel()]


def done(d, name, times, values, **more):
    """Closes a file. The values are in the order of the times, each time once."""
    d.close()
    EXPECTED[name] = dict(times=times, values=bits(values), **more)


def refused(d, name, *words, **more):
    d.close()
    EXPECTED[name] = dict(refused=words, **more)


HOURS = ([0, 1], "hours since 2020-01-01", None)

# Packed numbers whose valid range is that of values; also in float32, where rounding lies on either side, and beside a missing
# value that is one of values.
for name, kind, scale, ends in [("range-f8", "f8", 0.0001, (0.0, 0.3)), ("range-f4", "f4", 0.1, (0.3, 0.7))]:
    d = make(name, HOURS)
    raw = np.array([[0, 1, 2, 3, 4, 5, 6, 7, 8, 2999, 3000, 3001], [-1, 0, 3, 7, 8, -9999, -5, 3, 7, 2, 6, 5]], "i2").reshape(2, 3, 4)
    real = np.dtype(kind).type
    add(d, "v", "i2", ("time", "lat", "lon"), raw, _FillValue=np.int16(-9999), scale_factor=real(scale), add_offset=real(0), valid_min=real(ends[0]), valid_max=real(ends[1]))
    low, high = round(ends[0] / scale), round(ends[1] / scale)
    values = np.ma.masked_outside(raw, low, high) * np.float64(real(scale))
    done(d, name, shown([0, 1], HOURS[1]), values if kind == "f8" else values.astype("f4"))
d = make("missing-value", HOURS)
raw = rng.integers(0, 900, (2, 3, 4)).astype("i2")
raw[0, 0, :2], raw[1, 2, 3] = -9999, -9999
add(d, "v", "i2", ("time", "lat", "lon"), raw, scale_factor=0.01, missing_value=-99.99)
done(d, "missing-value", shown([0, 1], HOURS[1]), np.ma.masked_equal(raw, -9999) * 0.01)
d = make("missing-text", HOURS)
v = field(d, missing_value="-9999.0f")
cells = v[:]
cells[0, 0, 0], cells[1, 2, 3] = -9999, -9999
v[:] = cells
done(d, "missing-text", shown([0, 1], HOURS[1]), np.ma.masked_equal(cells, -9999))
d = make("missing-word", HOURS)
field(d, missing_value="none")
refused(d, "missing-word", "`missing_value`", "`none`", "ncatted -a missing_value,v,d,,")
d = make("blank", HOURS)
v = add(d, "v", "i2", ("time", "lat", "lon"), np.full((2, 3, 4), 7), valid_range=np.array([8, 9], "i2"), _FillValue=np.int16(-1))
done(d, "blank", shown([0, 1], HOURS[1]), np.ma.masked_all((2, 3, 4)), blank=True)

# Calendars.
for name, numbers, units, calendar in [
    ("360-day", [58, 59, 60], "days since 1850-01-01", "360_day"),
    ("360-day-months", [0, 1, 2], "months since 1999-12-16", "360_day"),
    ("noleap", [58, 59, 60], "days since 2000-01-01", "noleap"),
    ("all-leap", [58, 59, 60], "days since 2001-01-01", "366_day"),
    ("julian", [0, 1, 2], "days since 1900-02-28", "julian"),
    ("reform", [0, 1, 2, 3], "days since 1582-10-03", "standard"),
    ("julian-days", [2458849.5, 2458850.5], "days since -4713-01-01 12:00:00", None),
    ("before-christ", [0, 6, 12], "hours since -0044-03-15", "gregorian"),
]:
    d = make(name, (numbers, units, calendar))
    v = field(d)
    done(d, name, shown(numbers, units, calendar or "standard"), v[:])
d = make("year-0", ([366 * k for k in range(1, 5)], "hour since 0000-01-01 00:00:00", None))
v = field(d)
done(d, "year-0", shown([366 * k for k in range(1, 5)], "hours since 0000-01-01", "proleptic_gregorian", has_year_zero=True), v[:], noted="year 0")
d = make("year-0-julian", ([0, 1], "days since 0000-01-01", "julian"))
field(d)
refused(d, "year-0-julian", "year 0", "ncatted -a calendar,time,o,c,'proleptic_gregorian'")
d = make("month-steps", ([0, 1], "months since 2000-01-01", None))
field(d)
refused(d, "month-steps", "cdo -r -setreftime,2000-01-01,00:00:00,days -settaxis,2000-01-01,00:00:00,1mon")
d = make("unitless", ([0, 1], "", None))
field(d)
refused(d, "unitless", "axis `time`", "ncatted -a units,time")

# Where times stand.
d = make("scalar-time")
add(d, "time", "i4", (), 3, units="days since 2020-01-01", standard_name="time")
v = field(d, ("lat", "lon"), coordinates="time")
done(d, "scalar-time", shown(3, "days since 2020-01-01"), v[:], step=86400)
d = make("step-valid-time", step=3)
add(d, "time", "i4", (), 1577836800, units="seconds since 1970-01-01", standard_name="time", long_name="initial time of forecast")
add(d, "step", "f8", ("step",), [0, 6, 12], units="hours", standard_name="forecast_period")
add(d, "valid_time", "i4", ("step",), [1577836800, 1577858400, 1577880000], units="seconds since 1970-01-01", standard_name="time")
v = field(d, ("step", "lat", "lon"), coordinates="time step valid_time")
done(d, "step-valid-time", shown([0, 6, 12], HOURS[1]), v[:], noted="--time time")
d = make("step-reference", step=3)
add(d, "reftime", "f8", (), 24, units="hours since 2020-01-01", standard_name="forecast_reference_time")
add(d, "step", "f8", ("step",), [0, 6, 12], units="hours", standard_name="forecast_period")
v = field(d, ("step", "lat", "lon"), coordinates="reftime")
done(d, "step-reference", shown([24, 30, 36], HOURS[1]), v[:])
d = make("beside", time_counter=2)
add(d, "time_counter", "f8", ("time_counter",), [0, 1], axis="T")
add(d, "time_centered", "f8", ("time_counter",), [3786912000.0 + 86400, 3786912000.0 + 2 * 86400], units="seconds since 1900-01-01", calendar="gregorian", standard_name="time")
v = field(d, ("time_counter", "lat", "lon"), coordinates="time_centered")
done(d, "beside", shown([3786912000.0 + 86400, 3786912000.0 + 2 * 86400], "seconds since 1900-01-01"), v[:])
d = make("beside-two", step=2)
for name, hour in [("start", 0), ("end", 1)]:
    add(d, name, "f8", ("step",), [hour, hour + 1], units="hours since 2020-01-01")
v = field(d, ("step", "lat", "lon"), coordinates="start end")
refused(d, "beside-two", "--time start", "--time end")
for name, model in [("text", "NETCDF3_CLASSIC"), ("text-nc4", "NETCDF4")]:
    d = make(name, model=model, Time=3, DateStrLen=19)
    texts = ["2020-02-28_18:00:00", "2020-02-29_00:00:00", "2020-02-29_06:00:00"]
    add(d, "Times", "S1", ("Time", "DateStrLen"), np.array([list(text) for text in texts], "S1"))
    v = field(d, ("Time", "lat", "lon"))
    done(d, name, [text.replace("_", "T") + "Z" for text in texts], v[:])
d = make("nanoseconds", model="NETCDF4", step=3)
start = 1577836800123000000
add(d, "valid_time", "i8", ("step",), np.array([start, start + 1000000, start + 2000000], "i8"), units="nanoseconds since 1970-01-01")
v = field(d, ("step", "lat", "lon"))
done(d, "nanoseconds", [f"2020-01-01T00:00:00.{ms}Z" for ms in (123, 124, 125)], v[:])
d = make("twice", ([0, 1, 1, 2], "hours since 2020-01-01", None))
v = field(d)
refused(d, "twice", "2020-01-01T01:00:00Z", "--irregular", "--overlap")
d = make("zone", ([0, 1], "hours since 2020-01-01 00:00:00.0 0:00", None))
v = field(d)
done(d, "zone", shown([0, 1], HOURS[1]), v[:])

# Groups: a variable below the coordinates of the groups around it.
d = make("groups", model="NETCDF4")
a = d.createGroup("A")
a.createDimension("time", 2)
add(a, "time", "f8", ("time",), [0, 1], units=HOURS[1])
b = a.createGroup("B")
v = add(b, "v", "f4", ("time", "lat", "lon"), rng.normal(size=(2, 3, 4)))
done(d, "groups", shown([0, 1], HOURS[1]), v[:], variable="A/B/v")

# Rows: half cells at the poles; centres that float32 rounded, or holds exactly; one row.
d = netCDF4.Dataset(HERE / "poles.nc", "w", format="NETCDF3_CLASSIC")
for dim, size in [("lat", 5), ("lon", 4), ("bnds", 2)]:
    d.createDimension(dim, size)
add(d, "lat", "f8", ("lat",), [-90, -45, 0, 45, 90], units="degrees_north", bounds="lat_bnds")
add(d, "lat_bnds", "f8", ("lat", "bnds"), [[-90, -67.5], [-67.5, -22.5], [-22.5, 22.5], [22.5, 67.5], [67.5, 90]])
add(d, "lon", "f8", ("lon",), [0, 90, 180, 270], units="degrees_east")
v = field(d, ("lat", "lon"))
done(d, "poles", None, v[:], y=[-112.5, 45], x=[-45, 90])
for name, y, x, wanted in [
    ("float-exact", 5000000 - 25 * np.arange(4), 500025 + 25 * np.arange(3), [[5000012.5, -25], [500012.5, 25]]),
    ("float-rounded", 89.95 - 0.1 * np.arange(4), 0.05 + 0.1 * np.arange(3), [[90, -0.1], [0, 0.1]]),
]:
    for dtype in ("f4", "f8"):
        d = netCDF4.Dataset(HERE / f"{name}-{dtype}.nc", "w", format="NETCDF3_CLASSIC")
        for dim, values in [("y", y), ("x", x)]:
            d.createDimension(dim, len(values))
            add(d, dim, dtype, (dim,), np.asarray(values, "f4"), units="m")
        v = field(d, ("y", "x"))
        done(d, f"{name}-{dtype}", None, v[:], y=wanted[0], x=wanted[1])
d = netCDF4.Dataset(HERE / "uneven-bounds.nc", "w", format="NETCDF3_CLASSIC")
for dim, size in [("y", 4), ("x", 3), ("bnds", 2)]:
    d.createDimension(dim, size)
add(d, "y", "f8", ("y",), [0.5, 1.5, 2.5, 3.5], bounds="y_bnds")
add(d, "y_bnds", "f8", ("y", "bnds"), [[0, 1], [1, 1.8], [1.8, 3], [3, 4]])
add(d, "x", "f8", ("x",), [0, 1, 2])
field(d, ("y", "x"))
refused(d, "uneven-bounds", "not equidistant", "--index-axes")
d = netCDF4.Dataset(HERE / "one-row.nc", "w", format="NETCDF3_CLASSIC")
for dim, values in [("y", [7.5]), ("x", [0.5, 1.5, 2.5])]:
    d.createDimension(dim, len(values))
    add(d, dim, "f8", (dim,), values, units="m")
v = field(d, ("y", "x"))
refused(d, "one-row", "single value along `y`", "--structure")

# Systems: by attributes, by none, and what is no plain degrees.
def system(name, units, names, crs, **attributes):
    d = netCDF4.Dataset(HERE / f"{name}.nc", "w", format="NETCDF3_CLASSIC")
    for dim, standard in zip("yx", names):
        d.createDimension(dim, 3)
        add(d, dim, "f8", (dim,), [0, 1, 2], units=units[dim == "x"], standard_name=standard)
    if attributes:
        add(d, "m", "i4", (), 0, **attributes)
    v = field(d, ("y", "x"), **(dict(grid_mapping="m") if attributes else {}))
    done(d, name, None, v[:], crs=crs)


PLANE, EARTH = ("projection_y_coordinate", "projection_x_coordinate"), ("latitude", "longitude")
DEGREES = ("degrees_north", "degrees_east")
system("lat-lon", DEGREES, EARTH, ["EPSG:4326"])
system("lat-lon-sphere", DEGREES, EARTH, ["GEOGCS", "6371229,0"], grid_mapping_name="latitude_longitude", earth_radius=6371229.0)
system("lcc", ("m", "m"), PLANE, ["PROJCS", "Lambert_Conformal_Conic", "6371229,0", "-95"], grid_mapping_name="lambert_conformal_conic", standard_parallel=[25.0, 25.0], longitude_of_central_meridian=265.0, latitude_of_projection_origin=25.0, earth_radius=6371229.0)
system("polar", ("km", "km"), PLANE, ["PROJCS", "Polar_Stereographic", "-71", "1000"], grid_mapping_name="polar_stereographic", straight_vertical_longitude_from_pole=0.0, latitude_of_projection_origin=-90.0, standard_parallel=-71.0, semi_major_axis=6378137.0, inverse_flattening=298.257223563)
system("geostationary", ("rad", "rad"), PLANE, ["PROJCS", "Geostationary", "35786023"], grid_mapping_name="geostationary", perspective_point_height=35786023.0, longitude_of_projection_origin=-75.0, latitude_of_projection_origin=0.0, semi_major_axis=6378137.0, semi_minor_axis=6356752.31414, sweep_angle_axis="x")
system("rotated", ("degrees", "degrees"), ("grid_latitude", "grid_longitude"), ["Pole rotation", "39.25", "-162"], grid_mapping_name="rotated_latitude_longitude", grid_north_pole_latitude=39.25, grid_north_pole_longitude=-162.0)
system("rotated-bare", ("degrees", "degrees"), ("grid_latitude", "grid_longitude"), None)

# Units of time that cftime does not read, as UDUNITS does: weeks, and dates without what lies between their parts.
for name, numbers, units, days in [
    ("weeks", [0, 1, 3], "weeks since 2020-01-06", ([0, 7, 21], "days since 2020-01-06")),
    ("packed-date", [0, 1], "days since 20200131", ([0, 1], "days since 2020-01-31")),
    ("packed-year", [0, 1], "days since 2000", ([0, 1], "days since 2000-01-01")),
]:
    d = make(name, (numbers, units, None))
    v = field(d)
    values = v[:] if name != "weeks" else np.ma.masked_all((4, 3, 4))
    if name == "weeks":
        values[[0, 1, 3]] = v[:]
    done(d, name, shown(*days) if name != "weeks" else shown([0, 7, 14, 21], days[1]), values)
singles = (np.arange(5) / np.float32(24)).astype("f4").astype("f8")
d = make("single-hours", (singles, "days since 2001-01-01", None))
v = field(d)
done(d, "single-hours", shown(range(5), "hours since 2001-01-01"), v[:])
d = make("month-halves", ([1.5, 2.5], "months since 1999-12-01", None))
field(d)
refused(d, "month-halves", "cdo -r -setreftime,2000-01-16,00:00:00,days -settaxis,2000-01-16,00:00:00,1mon")
d = make("year-steps", ([10, 12], "years since 1950-01-01", None))
field(d)
refused(d, "year-steps", "cdo -r -setreftime,1960-01-01,00:00:00,days -settaxis,1960-01-01,00:00:00,24mon")
d = make("text-damaged", Time=2, DateStrLen=19)
add(d, "Times", "S1", ("Time", "DateStrLen"), np.array([list("2020-02-28_18:00:00"), list("-------------------")], "S1"))
field(d, ("Time", "lat", "lon"))
refused(d, "text-damaged", "ncks -d Time,0,0", "--time")


# Longitudes that begin anew within the file, and what is longitude and latitude without saying so in its units.
def globe(name, longitudes, x, dtype="f8", bounds=None, **units):
    d = netCDF4.Dataset(HERE / f"{name}.nc", "w", format="NETCDF3_CLASSIC")
    for dim, values in [("lat", [10.5, 11.5, 12.5]), ("lon", longitudes)]:
        d.createDimension(dim, len(values))
        add(d, dim, dtype, (dim,), values, **units.get(dim, {}))
    if bounds:
        d.createDimension("bnds", 2)
        d["lon"].bounds = "lon_bnds"
        add(d, "lon_bnds", dtype, ("lon", "bnds"), bounds)
    v = field(d, ("lat", "lon"))
    done(d, name, None, v[:], y=[10, 1], x=x, crs=["EPSG:4326"])


NAMED = dict(lat=dict(units="degrees_north"), lon=dict(units="degrees_east"))
globe("seam", [178.5, 179.5, -179.5, -178.5], [178, 1], **NAMED)
globe("seam-bounds", [178.5, 179.5, -179.5, -178.5], [178, 1], bounds=[[178, 179], [179, -180], [-180, -179], [-179, -178]], **NAMED)
globe("seam-float", 10 + np.arange(0, 360, 45.5) - 360 * (np.arange(0, 360, 45.5) > 170), [-12.75, 45.5], dtype="f4", **NAMED)
globe("seam-falling", [-179.5, 179.5, 178.5], [-179, -1], **NAMED)
globe("plain-names", [0.5, 1.5, 2.5], [0, 1])
globe("standard-names", [0.5, 1.5, 2.5], [0, 1], lat=dict(units="degrees", standard_name="latitude"), lon=dict(units="degrees", standard_name="longitude"))

# Labels: texts, in whatever kind of variable, and numbers in any order.
MEMBERS = ["control", "warm", "cold"]
for name, model, own in [("labels-words", "NETCDF4", "member"), ("labels-letters", "NETCDF3_CLASSIC", "member"), ("labels-beside", "NETCDF3_CLASSIC", "name"), ("labels-twice", "NETCDF3_CLASSIC", "member")]:
    d = make(name, HOURS, model, member=3, **(dict() if model == "NETCDF4" else dict(letters=7)))
    texts = MEMBERS if name != "labels-twice" else ["warm", "cold", "warm"]
    if model == "NETCDF4":
        d.createVariable(own, str, ("member",))[:] = np.array(texts, object)
    else:
        add(d, own, "S1", ("member", "letters"), np.array([list(text.ljust(7)) for text in texts], "S1"))
    v = field(d, ("member", "time", "lat", "lon"), coordinates=own)
    if name == "labels-twice":
        refused(d, name, "`warm` is there twice", "ncks -C -x -v member")
    else:
        done(d, name, shown([0, 1], HOURS[1]), np.ma.transpose(v[:], (1, 0, 2, 3)), labels=texts)
for name, heights, units in [("levels", [1000, 850, 500], "hPa"), ("levels-turned", [500, 850, 1000], "hPa"), ("levels-some", [1000, 500], "hPa"), ("levels-other", [1000, 850], "m")]:
    d = make(name, HOURS, level=len(heights))
    add(d, "level", "f8", ("level",), heights, units=units)
    values = np.add.outer(np.arange(2) * 0.25, np.asarray(heights))[:, :, None, None] + np.zeros((3, 4))
    v = add(d, "v", "f4", ("time", "level", "lat", "lon"), values)
    done(d, name, shown([0, 1], HOURS[1]), v[:], labels=[str(height) for height in heights])
# Systems in WKT or a code, of coordinates in a unit of their own; of several mappings the one of the coordinates; and what is no
# system that is known, or none of these coordinates.
def noted(name, words):
    EXPECTED[name]["noted"] = words


system("code-in-km", ("km", "km"), PLANE, ["PROJCS", "Transverse_Mercator", "1000"], spatial_ref="EPSG:32633")
SCAN = dict(grid_mapping_name="geostationary", perspective_point_height=35786023.0, longitude_of_projection_origin=-75.0, semi_major_axis=6378137.0, semi_minor_axis=6356752.31414, sweep_angle_axis="x")
system("scan-microradians", ("microradian", "microradian"), PLANE, ["PROJCS", "Geostationary", "35.78602"], **SCAN)
system("false-easting-in-metres", ("km", "km"), PLANE, ["PROJCS", 'PARAMETER["false_easting",500]'], grid_mapping_name="transverse_mercator", longitude_of_central_meridian=15.0, latitude_of_projection_origin=0.0, scale_factor_at_central_meridian=0.9996, false_easting=500000.0, false_northing=0.0)
noted("code-in-km", "the grid has the system in km")
noted("false-easting-in-metres", "`false_easting` of its grid mapping would lie beyond the earth in km")
system("unknown-wkt", ("m", "m"), PLANE, None, crs_wkt="of our own")
noted("unknown-wkt", "`of our own`, which is not known: the grid has no coordinate reference system; say which it is with `ncatted -a spatial_ref,m,o,c,EPSG:CODE FILE`")
system("unknown-proj4", ("m", "m"), PLANE, None, proj4="+proj=igh")
noted("unknown-proj4", "`+proj=igh`")
system("esri-string", ("m", "m"), PLANE, ["PROJCS", "ETRS_1989_LAEA"], esri_pe_string='PROJCS["ETRS_1989_LAEA",GEOGCS["GCS_ETRS_1989",DATUM["D_ETRS_1989",SPHEROID["GRS_1980",6378137.0,298.257222101]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Lambert_Azimuthal_Equal_Area"],PARAMETER["False_Easting",4321000.0],PARAMETER["False_Northing",3210000.0],PARAMETER["Central_Meridian",10.0],PARAMETER["Latitude_Of_Origin",52.0],UNIT["Meter",1.0]]')
system("plane-untold", ("m", "m"), PLANE, None)
noted("plane-untold", "of a projection that it does not tell")
noted("rotated-bare", "about a rotated pole that it does not tell")
system("other-mapping", DEGREES, EARTH, ["EPSG:4326"], spatial_ref="EPSG:32633")
noted("other-mapping", "is not the system of its coordinates")
d = netCDF4.Dataset(HERE / "two-mappings.nc", "w", format="NETCDF3_CLASSIC")
for dim, standard in zip("yx", PLANE):
    d.createDimension(dim, 3)
    add(d, dim, "f8", (dim,), [0, 1000, 2000], units="m", standard_name=standard)
for mapping, code in [("earth", "EPSG:4326"), ("plane", "EPSG:32633")]:
    add(d, mapping, "i4", (), 0, spatial_ref=code)
v = field(d, ("y", "x"), grid_mapping="earth: lat lon plane: x y")
done(d, "two-mappings", None, v[:], crs=["EPSG:32633"])
globe("degrees-by-name", [0.5, 1.5, 2.5], [0, 1], lat=dict(units="degrees"), lon=dict(units="degree"))
globe("degrees-in-capitals", [0.5, 1.5, 2.5], [0, 1], lat=dict(units="Degrees_North"), lon=dict(units="deg_E"))

d = netCDF4.Dataset(HERE / "bounds-of-points.nc", "w", format="NETCDF3_CLASSIC")
for dim, size in [("y", 3), ("x", 3), ("bnds", 2)]:
    d.createDimension(dim, size)
for dim, bounds in [("y", [[0, 0], [1, 1], [2, 2]]), ("x", [[np.nan, np.nan]] * 3)]:
    add(d, dim, "f8", (dim,), [0, 1, 2], units="m", bounds=f"{dim}_bnds")
    add(d, f"{dim}_bnds", "f8", (dim, "bnds"), bounds)
v = field(d, ("y", "x"))
done(d, "bounds-of-points", None, v[:], y=[-0.5, 1], x=[-0.5, 1])

# Integers of 64 bits that no double is; numbers of float32 as labels.
for name, dtype, fill, given in [("never-written-i8", "i8", -(2**63) + 2, False), ("never-written-u8", "u8", 2**64 - 2, False), ("fill-u8", "u8", 2**63 - 1, True)]:
    d = make(name, HOURS, "NETCDF4")
    cells = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    cells[1, 2, 3] = cells[0, 0, 1] = fill
    add(d, "v", dtype, ("time", "lat", "lon"), cells, **(dict(_FillValue=cells[0, 0, 1]) if given else {}))
    done(d, name, shown([0, 1], HOURS[1]), np.ma.masked_equal(cells, cells[0, 0, 1]))
d = make("levels-float", HOURS, level=2)
add(d, "level", "f4", ("level",), [0.1, 2.5], units="m")
v = field(d, ("time", "level", "lat", "lon"))
done(d, "levels-float", shown([0, 1], HOURS[1]), v[:], labels=["0.1", "2.5"])

# What is refused has a command that fits.
d = make("cells-in-a-row", HOURS, cell=12)
field(d, ("time", "cell"))
refused(d, "cells-in-a-row", "one axis `cell`", "cdo remapnn,r360x180 FILE GRIDDED.nc")
d = make("digits-of-dates", ([20200101, 20200102], "YYYYMMDD", None))
field(d)
refused(d, "digits-of-dates", "`YYYYMMDD`", "ncatted -a units,time,o,c,'day as %Y%m%d.%f' FILE", "cdo -r copy")
d = make("days-after", ([0, 1], "days after 2000-01-01", None))
field(d)
refused(d, "days-after", "ncatted -a units,time,o,c,'days since 2000-01-01' FILE")
d = make("time-missing", ([0, 1, 2, 9.969209968386869e36], "days since 2000-01-01", None))
field(d)
refused(d, "time-missing", "9.969209968386869e36", "ncks -d time,0,2 FILE PART.nc")
d = netCDF4.Dataset(HERE / "numbers-with-places.nc", "w", format="NETCDF3_CLASSIC")
for dim in "YX":
    d.createDimension(dim, 3)
    add(d, dim, "i4", (dim,), [1, 2, 3], axis=dim)
for name, units in [("Latitude", "degrees_north"), ("Longitude", "degrees_east")]:
    add(d, name, "f4", ("Y", "X"), rng.normal(size=(3, 3)), units=units)
v = field(d, ("Y", "X"), coordinates="Latitude Longitude")
done(d, "numbers-with-places", None, v[:], crs=None, noted="where they lie is not kept (its coordinates `Latitude`, `Longitude` have two axes)")
CONE = dict(grid_mapping_name="lambert_conformal_conic", standard_parallel=[25.0, 25.0], longitude_of_central_meridian=-95.0, latitude_of_projection_origin=25.0)
system("other-attributes", DEGREES, EARTH, ["EPSG:4326"], **CONE)
noted("other-attributes", "is not the system of its coordinates")


# Coordinates and their bounds: where these do not fit; in a unit of their own; and packed, each by its own attributes.
def bounded(name, edges, numbers=None, kind="f8", **attributes):
    """Latitudes 10.5 to 13.5, or others, with bounds."""
    d = netCDF4.Dataset(HERE / f"{name}.nc", "w", format="NETCDF3_CLASSIC")
    numbers = np.arange(4) + 10.5 if numbers is None else numbers
    for dim, size in [("lat", len(numbers)), ("lon", 2), ("bnds", 2)]:
        d.createDimension(dim, size)
    add(d, "lat", "f8", ("lat",), numbers, units="degrees_north", bounds="lat_bnds")
    add(d, "lon", "f8", ("lon",), [0.5, 1.5], units="degrees_east")
    add(d, "lat_bnds", kind, ("lat", "bnds") if len(edges) == len(numbers) else ("bnds", "lat"), edges, **attributes)
    return d, field(d, ("lat", "lon"))


def pairs(starts, width=1):
    return np.stack([np.asarray(starts), np.asarray(starts) + width], 1)


PLAIN = "ncks -C -x -v lat_bnds FILE PLAIN.nc"
ROWS = np.arange(4) + 10.0
for name, edges, numbers, why in [
    ("bounds-elsewhere", pairs(ROWS + 40), None, "value 10.5 of cell 0 is not between 50 and 51"),
    ("bounds-overlapping", pairs(ROWS - 0.5, 2), None, "cell 0 ends at 11.5, and the next begins at 10.5"),
    ("bounds-too-wide", pairs([10, 12], 2), [11.5, 12.5], "its cells are of 2, and its values 1 apart"),
    ("bounds-upside-down", pairs(ROWS), ROWS[::-1] + 0.5, "value 13.5 of cell 0 is not between 10 and 11"),
    ("bounds-across", pairs(ROWS).T, None, "value 11.5 of cell 1 is not between 12 and 13"),
]:
    d, _ = bounded(name, edges, numbers)
    refused(d, name, "`lat_bnds` do not fit it", why, PLAIN)
d, v = bounded("bounds-falling", pairs(ROWS)[::-1], ROWS[::-1] + 0.5)
done(d, "bounds-falling", None, v[:], y=[14, -1])
d, v = bounded("bounds-in-radians", np.radians(pairs(ROWS)), units="radians")
done(d, "bounds-in-radians", None, v[:], y=[10, 1], crs=["EPSG:4326"])
d, _ = bounded("bounds-in-metres", pairs(ROWS), units="m")
refused(d, "bounds-in-metres", "`lat_bnds` are in `m`, it is in `degrees_north`", PLAIN)
d, v = bounded("bounds-packed", pairs(ROWS) * 10, kind="i2", scale_factor=0.1)
done(d, "bounds-packed", None, v[:], y=[10, 1])


def clocked(name, numbers, edges, kinds=("f8", "f8"), units=None, of_time={}, **attributes):
    """Days of 2000 with bounds."""
    d = make(name, bnds=2, time=3)
    add(d, "time", kinds[0], ("time",), numbers, units="days since 2000-01-01", bounds="time_bnds", **of_time)
    add(d, "time_bnds", kinds[1], ("time", "bnds"), edges, **(dict(units=units) if units else {}), **attributes)
    return d, field(d)


DAYS = shown([0, 1, 2], "days since 2000-01-01")
HALVES, EDGES, TENTHS = np.array([0.5, 1.5, 2.5]), pairs([0, 1, 2]), dict(scale_factor=0.1)
for name, numbers, edges, kinds, more in [
    ("time-at-beginnings", [0, 1, 2], EDGES, ("f8", "f8"), {}),
    ("time-at-ends", [1, 2, 3], EDGES, ("f8", "f8"), {}),
    ("time-bounds-in-hours", HALVES, EDGES * 24, ("f8", "f8"), dict(units="hours since 2000-01-01")),
    ("time-bounds-packed", [0, 1, 2], EDGES * 10, ("f8", "i2"), TENTHS),
    ("time-packed-alone", HALVES * 10, EDGES, ("i2", "f8"), dict(of_time=TENTHS)),
    ("time-packed-with-bounds", HALVES * 10, EDGES * 10, ("i2", "i2"), dict(of_time=TENTHS)),
    ("time-packed-but-bounds", HALVES * 10, EDGES, ("i2", "i2"), dict(of_time=TENTHS)),
]:
    d, v = clocked(name, numbers, edges, kinds, **more)
    done(d, name, DAYS, v[:])
d, v = clocked("time-falling", HALVES[::-1], EDGES[::-1])
done(d, "time-falling", DAYS, v[::-1])
d, _ = clocked("time-bounds-elsewhere", [0.5, 1.5, 2.5], EDGES + 100)
refused(d, "time-bounds-elsewhere", "`time_bnds` do not fit it: 2000-01-01T12:00:00Z is not between", "ncks -C -x -v time_bnds FILE PLAIN.nc")
d = make("climatology", ([15.5, 45.0], "days since 2000-01-01", None), bnds=2)
d["time"].climatology = "climatology_bounds"
add(d, "climatology_bounds", "f8", ("time", "bnds"), [[-3652, 31], [-3621, 60]])
v = field(d, cell_methods="time: mean within years time: mean over years")
done(d, "climatology", shown([15.5, 45], "days since 2000-01-01"), v[:], noted="its bounds `climatology_bounds` say, the grid does not keep")

# Integers that are unsigned, and packed ones, wherever coordinates are; those that no double is; and what is missing.
d = netCDF4.Dataset(HERE / "unsigned-rows.nc", "w", format="NETCDF3_CLASSIC")
for dim, size in [("lat", 4), ("lon", 3)]:
    d.createDimension(dim, size)
add(d, "lat", "i2", ("lat",), (np.arange(4) * 100 + 40000).astype("u2").view("i2"), units="degrees_north", scale_factor=0.01, add_offset=-389.5, _Unsigned="true")
add(d, "lon", "f8", ("lon",), [0.5, 1.5, 2.5], units="degrees_east")
v = field(d, ("lat", "lon"))
done(d, "unsigned-rows", None, v[:], y=[10, 1])
d = make("unsigned-time", time=3)
add(d, "time", "i1", ("time",), np.array([126, 127, -128], "i1"), units="days since 2000-01-01", _Unsigned="true")
v = field(d)
done(d, "unsigned-time", shown([126, 127, 128], "days since 2000-01-01"), v[:])


def labelled(name, kind, numbers, model="NETCDF3_CLASSIC", **attributes):
    """A step of three labels `z`."""
    d = make(name, HOURS, model, z=len(numbers))
    add(d, "z", kind, ("z",), numbers, **attributes)
    return d


for name, kind, numbers, labels, attributes in [
    ("labels-packed", "i2", [1, 2, 3], ["0.1", "0.2", "0.3"], dict(units="m", scale_factor=0.1)),
    ("labels-packed-f4", "i2", [1, 2, 3], ["10.1", "10.2", "10.3"], dict(units="m", scale_factor=np.float32(0.1), add_offset=np.float32(10))),
    ("labels-unsigned", "i1", [100, 127, -56], ["100", "127", "200"], dict(_Unsigned="true")),
    ("labels-long", "i8", [2**53 + 1, 2**60, 2**60 + 1], [str(2**53 + 1), str(2**60), str(2**60 + 1)], {}),
]:
    d = labelled(name, kind, numbers, "NETCDF3_64BIT_DATA" if kind == "i8" else "NETCDF3_CLASSIC", **attributes)
    v = field(d, ("time", "z", "lat", "lon"))
    done(d, name, shown([0, 1], HOURS[1]), v[:], labels=labels)
for name, kind, numbers, shown_as, attributes in [
    ("labels-missing", "i4", [1, 2, -99], "-99 of cell 2", dict(_FillValue=np.int32(-99))),
    ("labels-nan", "f8", [1, 2, np.nan], "NaN of cell 2", {}),
    ("labels-never-written", "f4", [1, 2, netCDF4.default_fillvals["f4"]], "of cell 2", {}),
]:
    d = labelled(name, kind, numbers, **attributes)
    field(d, ("time", "z", "lat", "lon"))
    refused(d, name, "numbers of `z` are no labels", shown_as, "ncks -d z,0,1 FILE PART.nc")
d = make("singles", HOURS)
add(d, "height", "i2", (), 20, units="m", scale_factor=0.1)
add(d, "member", "i1", (), -56, _Unsigned="true")
add(d, "depth", "f8", (), -999, _FillValue=-999.0)
v = field(d, coordinates="height member depth")
done(d, "singles", shown([0, 1], HOURS[1]), v[:], attributes=dict(height="2 m", member="200", depth=None), noted="`depth` is -999, which stands for a missing value")
d = make("rows-missing", HOURS)
d["lat"].missing_value = 45.0
field(d)
refused(d, "rows-missing", "coordinate `lat`: its value 45 of cell 2 is no place")
d = make("rows-beyond-range", HOURS)
d["lat"].valid_max = 45.7
v = field(d)
done(d, "rows-beyond-range", shown([0, 1], HOURS[1]), v[:], noted="its coordinate `lat` is 46 in cell 0, outside of the valid range")

# Degrees to the south and west; angles in another unit; and attributes that contradict each other.
for name, south, west in [("south-and-west", "degrees_south", "degrees_west"), ("south-and-west-in-short", "degree_S", "degreesW")]:
    d = make(name)
    d["lat"].units, d["lon"].units = south, west
    v = field(d, ("lat", "lon"))
    done(d, name, None, v[:], y=[-46.25, 0.5], x=[-9.75, -0.5], crs=["EPSG:4326"], noted=f"its coordinate `lat` is in {south}: the grid has its numbers with the other sign")
for name, units, factor in [("arc-minutes", "arc_minute", 60), ("radians", "radians", np.pi / 180)]:
    d = make(name)
    d["lat"][:] = np.asarray(LAT[1]) * factor
    d["lat"].units, d["lat"].standard_name = units, "latitude"
    v = field(d, ("lat", "lon"))
    done(d, name, None, v[:], crs=None, noted=f"its coordinate `lat` is in {units}, no degrees: the grid has no coordinate reference system; make degrees of it with `ncap2 -s 'lat=lat*")
d = make("axis-contradicts")
d["lat"].axis, d["lon"].axis = "X", "Y"
field(d, ("lat", "lon"))
refused(d, "axis-contradicts", "coordinate `lat`", "`axis`, which is `X`", "`units`, which is `degrees_north`", "ncatted -a axis,lat,d,, FILE")
d = make("name-contradicts")
d["lat"].standard_name = "longitude"
field(d, ("lat", "lon"))
refused(d, "name-contradicts", "`standard_name`, which is `longitude`", "ncatted -a standard_name,lat,d,, FILE")

# Bounds that say nothing, or less than they should; a range that cannot be read; and a column that goes all the way round.
for name, numbers, edges, more in [
    ("time-bounds-zero", [0, 1, 2], np.zeros((3, 2)), {}),
    ("time-bounds-never-written", [0, 1, 2], np.full((3, 2), netCDF4.default_fillvals["f8"]), {}),
    ("time-bounds-in-days", HALVES, EDGES, dict(units="days")),
]:
    d, v = clocked(name, numbers, edges, **more)
    done(d, name, DAYS, v[:])
d = make("climatology-twice", ([15.5, 45.0], "days since 2000-01-01", None), bnds=2)
d["time"].climatology = d["time"].bounds = "climatology_bounds"
add(d, "climatology_bounds", "f8", ("time", "bnds"), [[-3652, -3621], [-3621, -3593]])
v = field(d)
done(d, "climatology-twice", shown([15.5, 45], "days since 2000-01-01"), v[:], noted="the grid does not keep")
d = make("bounds-of-each-time", HOURS, bnds=2)
d["lat"].bounds = "lat_bnds"
add(d, "lat_bnds", "f8", ("time", "lat", "bnds"), [pairs([45.75, 45.25, 44.75], 0.5)] * 2)
v = field(d)
done(d, "bounds-of-each-time", shown([0, 1], HOURS[1]), v[:], y=[46.25, -0.5])
d = make("bounds-of-columns-to-the-north", bnds=2)
d["lon"].bounds = "lon_bnds"
add(d, "lon_bnds", "f8", ("lon", "bnds"), pairs([9.75, 10.25, 10.75, 11.25], 0.5), units="degrees_north")
v = field(d, ("lat", "lon"))
done(d, "bounds-of-columns-to-the-north", None, v[:], x=[9.75, 0.5])
d = make("range-in-words")
d["lat"].setncattr("valid_range", "south to north")
v = field(d, ("lat", "lon"))
done(d, "range-in-words", None, v[:], y=[46.25, -0.5], noted="its attribute `valid_range` is the text `south to north`, no number")
globe("all-round", [0], [0, 360], bounds=[[0, 360]], **NAMED)
# What tells two quantities, directions, units or kinds of one variable from each other: the first file of each makes a grid that
# does not take the second (`of_one_name_and_not_of_one_kind` of the tests).
for name, kind in [("kind-sea-ice", "sea_ice"), ("kind-land", "land")]:
    d = make(name, letters=8)
    add(d, "type", "S1", ("letters",), netCDF4.stringtochar(np.array([kind], "S8"))[0], standard_name="area_type")
    v = field(d, ("lat", "lon"), coordinates="type")
    done(d, name, None, v[:], attributes=dict(type=kind))
for name, positive, standard in [("depths", "down", "depth"), ("heights", "up", "height")]:
    d = make(name, z=2)
    add(d, "z", "f8", ("z",), [1, 2], units="m", positive=positive, standard_name=standard)
    v = field(d, ("z", "lat", "lon"))
    d.close()
    d = make(name + "-single")
    add(d, "z", "f8", (), 2, units="m", positive=positive, standard_name=standard)
    v = field(d, ("lat", "lon"), coordinates="z")
    done(d, name + "-single", None, v[:], attributes=dict(z="2 m", z_positive=positive, z_standard_name=standard))
for name, unit, step in [("plane-km", "km", 1), ("plane-m", "m", 1), ("plane-m-of-km", "m", 1000), ("plane-degrees", "degrees", 1)]:
    d = netCDF4.Dataset(HERE / f"{name}.nc", "w", format="NETCDF3_CLASSIC")
    for axis, values in (("y", [3, 2, 1]), ("x", [0, 1, 2, 3])):
        d.createDimension(axis, len(values))
        add(d, axis, "f8", (axis,), np.array(values) * step, units=unit, standard_name=f"projection_{axis}_coordinate")
    v = field(d, ("y", "x"))
    done(d, name, None, v[:], crs=None)

# Grid mappings whose parts contradict each other, or that name what is not known; and an earth by its name.
UTM = dict(grid_mapping_name="transverse_mercator", scale_factor_at_central_meridian=0.9996, latitude_of_projection_origin=0.0, false_easting=5e5, false_northing=0.0)
system("mapping-agrees", ("m", "m"), PLANE, ["EPSG:32632"], longitude_of_central_meridian=9.0, spatial_ref="EPSG:32632", **UTM)
system("mapping-contradicts", ("m", "m"), PLANE, ["EPSG:32632"], longitude_of_central_meridian=15.0, spatial_ref="EPSG:32632", **UTM)
noted("mapping-contradicts", "whose parameters are others than those of its attributes (9 and 15)")
system("mapping-of-mars", DEGREES, EARTH, ["EPSG:4326"], grid_mapping_name="latitude_longitude_of_mars")
noted("mapping-of-mars", "`latitude_longitude_of_mars`, which is not known: its coordinates are taken for those of EPSG:4326")
for name, attribute, text, words in [
    ("datum-by-name", "horizontal_datum_name", "NAD27", ["GEOGCS", "6378206.4", "294.97"]),
    ("ellipsoid-by-name", "reference_ellipsoid_name", "Bessel 1841", ["GEOGCS", "6377397.155", "299.15"]),
    ("datum-is-wgs84", "horizontal_datum_name", "WGS_1984", ["EPSG:4326"]),
    ("datum-of-our-own", "horizontal_datum_name", "Atlantis 1999", ["Atlantis 1999"]),
]:
    system(name, DEGREES, EARTH, words, grid_mapping_name="latitude_longitude", **{attribute: text})
noted("datum-of-our-own", "names `Atlantis 1999`, which is not known, and no size of the earth")

# Dimensions of labels with names that a grid has for others; bounds of times that are kept as events.
d = make("labels-in-space", space=2)
v = field(d, ("space", "lat", "lon"))
d.close()
d = make("labels-in-x", HOURS, x=2)
v = field(d, ("time", "x", "lat", "lon"))
done(d, "labels-in-x", shown([0, 1], HOURS[1]), v[:], labels=["1", "2"])
d = make("months-with-bounds", ([15.5, 45, 74.5], "days since 2001-01-01", None), bnds=2)
d["time"].bounds = "time_bnds"
add(d, "time_bnds", "f8", ("time", "bnds"), [[0, 31], [31, 59], [59, 90]])
v = field(d)
done(d, "months-with-bounds", shown([15.5, 45, 74.5], "days since 2001-01-01"), v[:], noted="its times have bounds")


# Classes and their numbers; and times that are the ends of their steps, with bounds that say so and without.
for name, numbers in [("classes", [10, 20, 30]), ("classes-otherwise", [30, 20, 10])]:
    d = make(name)
    v = add(d, "v", "i1", ("lat", "lon"), np.array([10, 20, 30] * 4).reshape(3, 4), flag_values=np.array(numbers, "i1"), flag_meanings="water wood town")
    done(d, name, None, v[:], attributes=dict(flag_values=" ".join(map(str, numbers)), flag_meanings="water wood town"))
for name, has_bounds in [("ends-with-bounds", True), ("ends-without-bounds", False)]:
    d = make(name, ([1, 2, 3], "hours since 2000-01-01", None), bnds=2)
    if has_bounds:
        d["time"].bounds = "time_bnds"
        add(d, "time_bnds", "f8", ("time", "bnds"), pairs([0, 1, 2]))
    v = field(d)
    done(d, name, shown([0, 1, 2] if has_bounds else [1, 2, 3], "hours since 2000-01-01"), v[:])

d = make("labels-in-z", z=2)
v = field(d, ("z", "lat", "lon"))
d.close()
# Forecasts by their beginnings, with the times at which they are valid beside.
d = make("by-beginnings", forecast_period=3, forecast_reference_time=2)
add(d, "forecast_period", "f8", ("forecast_period",), [0, 1, 2], units="hours", standard_name="forecast_period")
add(d, "forecast_reference_time", "f8", ("forecast_reference_time",), [0, 24], units="hours since 2024-01-01", standard_name="forecast_reference_time")
add(d, "valid_time", "f8", ("forecast_reference_time", "forecast_period"), [[0, 1, 2], [24, 25, 26]], units="hours since 2024-01-01", standard_name="time")
v = field(d, ("forecast_reference_time", "forecast_period", "lat", "lon"), coordinates="valid_time")
done(d, "by-beginnings", shown([0, 24], "hours since 2024-01-01"), v[:], labels=["0", "1", "2"], noted="its times are those at which forecasts begin")

# Numbers beside an axis without numbers of its own; a missing value and a range beyond the floats; differences of temperatures;
# and a place that stands in the coefficients of GDAL.
for name, depths, labels, words in [
    ("labels-by-depth", [5, 10], ["5", "10"], None),
    ("labels-by-depth-twice", [5, 5], ["1", "2"], "the numbers of `depth` are no labels"),
    ("labels-in-words-beside-numbers", None, ["3", "4"], "the texts of `kinds` are not kept"),
]:
    d = make(name, HOURS, k=2, letters=6)
    if depths:
        add(d, "depth", "f4", ("k",), depths, units="m", positive="down")
    else:
        add(d, "k", "i4", ("k",), [3, 4])
        add(d, "kinds", "S1", ("k", "letters"), netCDF4.stringtochar(np.array(["forest", "lake"], "S6")))
    v = field(d, ("time", "k", "lat", "lon"), coordinates="depth" if depths else "kinds")
    more = dict(attributes=dict(k_units="m", k_positive="down")) if labels == ["5", "10"] else {}
    done(d, name, shown([0, 1], HOURS[1]), v[:], labels=labels, **more, **(dict(noted=words) if words else {}))
for name, attributes, wanted in [("missing-beyond-f4", dict(missing_value=1e300), np.inf), ("range-beyond-f4", dict(valid_max=1e300), np.nan)]:
    d = make(name)
    values = np.arange(12.0).reshape(3, 4)
    values[0, 0] = np.inf
    add(d, "v", "f4", ("lat", "lon"), values, **attributes)
    values[0, 0] = wanted
    done(d, name, None, values)
for name, attributes in [("deviation-celsius", dict(cell_methods="time: standard_deviation")), ("anomaly-celsius", dict(standard_name="air_temperature_anomaly")), ("temperature-celsius", {})]:
    d = make(name)
    v = field(d, ("lat", "lon"), units="degC", **attributes)
    done(d, name, None, v[:])
d = netCDF4.Dataset(HERE / "placed-by-gdal.nc", "w", format="NETCDF3_CLASSIC")
d.createDimension("y", 3)
d.createDimension("x", 4)
add(d, "crs", "i4", (), 0, spatial_ref="EPSG:32632", GeoTransform="500000 10 0 5000000 0 -10")
v = field(d, ("y", "x"), grid_mapping="crs")
done(d, "placed-by-gdal", None, v[:], y=[5000000, -10], x=[500000, 10], crs=["32632"], noted="the `GeoTransform` of `crs`")


# Files of HDF5 as h5py writes them: integers of some of their bits, and a variable that may grow along dimensions that do not.
def scaled(name, write, wanted=None):
    with h5py.File(HERE / f"{name}.nc", "w", libver="earliest") as f:
        for axis, values, units in ((*LAT, "degrees_north"), (*LON, "degrees_east")):
            f.create_dataset(axis, data=values, track_times=False).attrs["units"] = np.bytes_(units)
            f[axis].make_scale(axis)
        write(f)
        for number, axis in enumerate(("lat", "lon")):
            f["v"].dims[number].attach_scale(f[axis])
    d = netCDF4.Dataset(HERE / f"{name}.nc")
    d.set_auto_maskandscale(False)
    done(d, name, None, d["v"][:] if wanted is None else wanted, y=[46.25, -0.5], x=[9.75, 0.5])


def of_bits(precision, offset, is_signed, nbit):
    def write(f):
        kind = (h5py.h5t.STD_I16LE if is_signed else h5py.h5t.STD_U16LE).copy()
        kind.set_precision(precision)
        kind.set_offset(offset)
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((3, 4))
        made.set_obj_track_times(False)
        if nbit:
            made.set_filter(5, 0, ())
        v = h5py.h5d.create(f.id, b"v", kind, h5py.h5s.create_simple((3, 4)), made)
        v.write(h5py.h5s.ALL, h5py.h5s.ALL, (np.arange(12).reshape(3, 4) * 7 - 40 * is_signed).astype("i2"))
    return write


for name, *how in [("bits-signed", 12, 0, 1, 0), ("bits-signed-packed", 12, 0, 1, 1), ("bits-above", 12, 2, 1, 0), ("bits-above-packed", 12, 4, 0, 1)]:
    scaled(name, of_bits(*how))
scaled("may-grow", lambda f: f.create_dataset("v", data=np.arange(12, dtype="f4").reshape(3, 4), chunks=(2, 3), maxshape=(None, None), track_times=False))


# Enumerations: of cells, of which one number stands for a missing value; of one name; of labels; and of a single coordinate.
def enumerated(name, names, values, **attributes):
    d = make(name, model="NETCDF4")
    weather = d.createEnumType("u1", "weather", names)
    v = d.createVariable("v", weather, ("lat", "lon"), fill_value=attributes.pop("fill", None))
    v.setncatts(attributes)
    v[:] = np.array(values, "u1").reshape(3, 4)
    return d


NAMES = dict(flag_values="0 1 255", flag_meanings="dry wet unseen")
d = enumerated("enumeration", dict(dry=0, wet=1, unseen=255), [0, 1, 1, 255] * 3, fill=255)
done(d, "enumeration", None, np.ma.masked_equal(np.array([0, 1, 1, 255] * 3, "u1"), 255), attributes=NAMES)
d = enumerated("enumeration-of-one", dict(dry=0), [0] * 12)
done(d, "enumeration-of-one", None, np.zeros(12, "u1"), attributes=dict(flag_values="0", flag_meanings="dry", codes=None))
d = enumerated("enumeration-with-flags", dict(dry=0, wet=1), [0, 1] * 6, flag_values=np.array([0, 1], "u1"), flag_meanings="sec mouille")
done(d, "enumeration-with-flags", None, np.array([0, 1] * 6, "u1"), attributes=dict(flag_values="0 1", flag_meanings="sec mouille"))
d = enumerated("enumeration-long", {f"{'a_name_' * 34}{n}": n for n in range(18)}, range(12))
done(d, "enumeration-long", None, np.arange(12, dtype="u1"), attributes=dict(flag_meanings=None), noted="its `flag_meanings` is a text of")
d = make("enumeration-of-labels", model="NETCDF4", kind=2)
d.createVariable("kind", d.createEnumType("i2", "kinds", dict(lake=-7, forest=300)), ("kind",))[:] = np.array([300, -7], "i2")
v = field(d, ("kind", "lat", "lon"))
d.close()
d = make("enumeration-of-one-label", model="NETCDF4")
d.createVariable("kind", d.createEnumType("i2", "kinds", dict(lake=-7, forest=300)), ())[:] = np.int16(-7)
v = field(d, ("lat", "lon"), coordinates="kind")
done(d, "enumeration-of-one-label", None, v[:], attributes=dict(kind="lake"))
# Numbers beside an axis of labels that stand at the end of the file.
d = make("labels-at-the-end", k=2)
v = field(d, ("k", "lat", "lon"), coordinates="depth")
add(d, "depth", "f4", ("k",), [5, 10])
d.close()


# Labels along a dimension that has the name of columns, with a unit; labels and a single text with a standard name and without;
# and classes of numbers that no cell has.
d = make("labels-in-x-of-depth", x=2)
add(d, "x", "f4", ("x",), [5, 10], units="m", positive="down", standard_name="depth")
v = field(d, ("x", "lat", "lon"))
d["lat"].axis, d["lon"].axis = "Y", "X"
d["x"].axis = "Z"
d.close()
d = make("labels-of-regions", HOURS, k=2, letters=6)
add(d, "place", "S1", ("k", "letters"), netCDF4.stringtochar(np.array(["africa", "asia"], "S6")), standard_name="region")
v = field(d, ("time", "k", "lat", "lon"), coordinates="place")
done(d, "labels-of-regions", shown([0, 1], HOURS[1]), v[:], labels=["africa", "asia"], attributes=dict(k_standard_name="region"))
d = make("single-of-words", letters=6)
add(d, "place", "S1", ("letters",), netCDF4.stringtochar(np.array(["africa"], "S6"))[0])
add(d, "load", "f8", (), 1.5, units="kg m-2", positive="up")
v = field(d, ("lat", "lon"), coordinates="place load")
done(d, "single-of-words", None, v[:], attributes=dict(place="africa", load="1.5 kg m-2", load_positive="up"))
d = make("classes-beyond-the-cells")
v = add(d, "v", "i1", ("lat", "lon"), np.array([10, 20, 30] * 4).reshape(3, 4), flag_values=np.array([10, 20, 300], "i2"), flag_meanings="water wood town")
done(d, "classes-beyond-the-cells", None, v[:], attributes=dict(flag_values="10 20 300"))
# A range is a difference; the middle of one is none, nor is a mean that says `range` beside its method.
for name, attributes in [
    ("range-celsius", dict(cell_methods="area: mean (interval: 1 km) time: range")),
    ("middle-celsius", dict(cell_methods="time: mid_range")),
    ("comment-celsius", dict(cell_methods="time: mean (comment: the range of hours)", long_name="air temperature, range A")),
]:
    d = make(name)
    v = field(d, ("lat", "lon"), units="degC", **attributes)
    done(d, name, None, v[:])
# Coefficients of GDAL, as gdal_translate 3.6 reads them: a file that GDAL has written has its rows from south to north whatever they
# say; and such as place no rows and columns. Names with blanks, in the commands that help.
for name, coefficients, dims, system, attributes, wanted in [
    ("placed-from-north", "500000 10 0 5000000 0 -10", ("y", "x"), "EPSG:32632", dict(GDAL="GDAL 1.8.1, released 2011/07/09"), ([5000000, -10], [500000, 10])),
    ("placed-from-south", "500000 10 0 5000000 0 -10 ", ("y", "x"), "EPSG:32632", dict(GDAL="GDAL 3.6.2, released 2023/01/02"), ([4999970, 10], [500000, 10])),
    ("placed-in-degrees", "10, 0.1, 0, 50, 0, 0.1", ("lat", "lon"), "EPSG:4326", {}, ([50, 0.1], [10, 0.1])),
    ("placed-askew", "500000 10 1 5000000 0 -10", ("y", "x"), "EPSG:32632", {}, "gdalwarp -dstalpha 'NETCDF:\"FILE\":v' PLACED.tif"),
    ("placed-nowhere", "500000 10 0 5000000 0", ("y", "x"), "EPSG:32632", {}, "is not six numbers"),
    ("placed-by-half", "500000 10 0 5000000 0 -10", ("y", "x"), "EPSG:32632", {}, "gdal_translate 'NETCDF:\"FILE\":v' PLACED.tif"),
]:
    d = netCDF4.Dataset(HERE / f"{name}.nc", "w", format="NETCDF3_CLASSIC")
    for attribute in attributes.items():
        d.setncattr(*attribute)
    d.createDimension(dims[0], 3)
    d.createDimension(dims[1], 4)
    if name == "placed-by-half":
        add(d, "y", "f8", ("y",), [3, 2, 1])
    add(d, "crs", "i4", (), 0, spatial_ref=system, GeoTransform=coefficients)
    v = field(d, dims, grid_mapping="crs")
    if isinstance(wanted, str):
        refused(d, name, wanted)
    else:
        done(d, name, None, v[:], y=wanted[0], x=wanted[1], crs=[system.split(":")[1]])
d = make("blank-names", HOURS)
field(d, name="air temperature", missing_value="none")
refused(d, "blank-names", "ncatted -a missing_value,'air temperature',d,, FILE")
# What h5py alone packs and unpacks.
rows = np.repeat(np.arange(3, dtype="f4"), 4).reshape(3, 4)
scaled("lzf", lambda f: f.create_dataset("v", data=rows, chunks=(3, 4), compression="lzf", shuffle=True, track_times=False), rows)
(HERE / "expected.json").write_text(json.dumps(EXPECTED, indent=0) + "\n")
