"""Writes the files of this folder and expected.json: python make.py (netCDF4 1.7, h5py 3.16, xarray 2026.9, numpy 2)."""
import json
import struct
from pathlib import Path

import cftime
import h5py
import netCDF4
import numpy as np
import xarray

HERE = Path(__file__).parent
RAW, FIELDS = {}, {}
STORAGE = ["compression", "complevel", "shuffle", "fletcher32", "chunksizes", "contiguous", "endian"]
rng = np.random.default_rng(5)


def make(name, model, dims):
    d = netCDF4.Dataset(HERE / f"{name}.nc", "w", format=model)
    d.set_auto_maskandscale(False)
    for dim, size in dims.items():
        d.createDimension(dim, size)
    return d


def var(d, name, dtype, dims, values, **attributes):
    storage = {key: attributes.pop(key) for key in STORAGE if key in attributes}
    fill = attributes.pop("_FillValue", None)
    v = d.createVariable(name, dtype, dims, fill_value=fill, **storage)
    v.set_auto_maskandscale(False)
    for key, value in attributes.items():
        v.setncattr(key, value)
    if values is not None:
        v[:] = np.asarray(values).astype(dtype) if dtype != "S1" else values
    return v


def listed(a):
    """As text, exactly: floats as the bits of the double, which JSON readers would round."""
    a = np.asarray(a)
    if a.dtype.kind == "f":
        return [None if np.isnan(v) else struct.pack(">d", v).hex() for v in a.ravel()]
    return [str(int(v)) for v in a.ravel()]


def numeric(v):
    return isinstance(v.datatype, netCDF4.EnumType) or isinstance(v.datatype, np.dtype) and v.dtype.kind in "iuf"


def done(d, name, field=None, values=None, nodata=None, y=None, x=None, dtype=None):
    """Raw values of all variables as the library reads them; decoded ones as the generator means them."""
    d.close()
    d = netCDF4.Dataset(HERE / f"{name}.nc")
    d.set_auto_maskandscale(False)
    RAW[name] = {n: dict(dtype=v.dtype.newbyteorder("=").name, shape=list(v.shape), values=listed(v[:])) for n, v in d.variables.items() if numeric(v)}
    if field:
        time = d.variables.get("time", d.variables.get("valid_time"))
        entry = dict(variable=field, values=listed(values), dtype=dtype, nodata=nodata, y=y, x=x)
        if time is not None:
            dates = cftime.num2date(time[:], time.units, getattr(time, "calendar", "standard"), only_use_cftime_datetimes=True)
            entry["times"] = [t.strftime("%Y-%m-%dT%H:%M:%SZ") for t in dates]
        FIELDS[name] = entry
    d.close()


# Every type of the first two formats, in lengths that need padding; characters; an attribute of each kind.
d = make("cdf1-fixed", "NETCDF3_CLASSIC", dict(y=3, x=5, n=3))
for code, values in dict(i1=rng.integers(-128, 128, 15), i2=rng.integers(-30000, 30000, 15), i4=rng.integers(-2**31, 2**31, 15), f4=rng.normal(size=15), f8=rng.normal(size=15)).items():
    var(d, code, code, ("y", "x"), values.reshape(3, 5), note=code, numbers=np.array([1, 2, 3], code))
var(d, "odd", "i1", ("n",), [1, 2, 3])
var(d, "text", "S1", ("n",), np.array(["a", "b", "c"], "S1"))
var(d, "scalar", "f8", (), 2.5)
d.title = "every type"
done(d, "cdf1-fixed")

# Several record variables, padded to 4 bytes each.
d = make("cdf1-record", "NETCDF3_CLASSIC", dict(time=None, y=3, x=5))
var(d, "time", "f8", ("time",), [0, 1 / 24, 2 / 24, 3 / 24], units="days since 2018-09-13 19:00", calendar="gregorian")
var(d, "y", "f8", ("y",), [35.5, 34.5, 33.5], units="m", standard_name="projection_y_coordinate")
var(d, "x", "f8", ("x",), [100, 110, 120, 130, 140], units="m", standard_name="projection_x_coordinate")
values = rng.integers(0, 100, (4, 3, 5))
var(d, "flag", "i1", ("time", "y", "x"), values)
rain = np.where(values > 80, np.nan, values / 8)
var(d, "rain", "f4", ("time", "y", "x"), rain, units="mm")
var(d, "short", "i2", ("time", "x"), rng.integers(-9, 9, (4, 5)))
done(d, "cdf1-record", "rain", rain.astype("f4"), None, [36, -1], [95, 10], "float32")

# One record variable has no padding.
d = make("cdf1-record-alone", "NETCDF3_CLASSIC", dict(step=None, x=3))
var(d, "short", "i2", ("step", "x"), rng.integers(-30000, 30000, (5, 3)))
done(d, "cdf1-record-alone")

# Packed, with every way of saying that there is nothing, and rows from south to north in float32.
d = make("cdf2-packed", "NETCDF3_64BIT_OFFSET", dict(time=3, lat=4, lon=6))
var(d, "time", "i4", ("time",), [0, 10, 20], units="minutes since 1999-12-31 23:50:00 +01:00", calendar="proleptic_gregorian")
var(d, "lat", "f4", ("lat",), 50.05 + 0.1 * np.arange(4), units="degrees_north")
var(d, "lon", "f4", ("lon",), 5.05 + 0.1 * np.arange(6), units="degrees_east")
raw = rng.integers(0, 3000, (3, 4, 6)).astype("i2")
raw[0, 0, :4] = [-1, -2, 3001, -5]
var(d, "dbz", "i2", ("time", "lat", "lon"), raw, _FillValue=np.int16(-1), missing_value=np.int16(-2), valid_range=np.array([0, 3000], "i2"), scale_factor=np.float32(0.5), add_offset=np.float32(-32))
dbz = np.where((raw < 0) | (raw > 3000), np.nan, raw * np.float64(0.5) - 32).astype("f4")
done(d, "cdf2-packed", "dbz", dbz, None, [50, 0.1], [5, 0.1], "float32")
FIELDS["cdf2-packed"]["crs"] = "EPSG:4326"

# Packed in double precision in unsigned bytes.
d = make("cdf1-unsigned", "NETCDF3_CLASSIC", dict(y=2, x=4))
raw = np.array([[0, 1, 127, 128], [200, 254, 255, 7]], "u1")
var(d, "y", "f8", ("y",), [1, 0])
var(d, "x", "f8", ("x",), [0, 1, 2, 3])
var(d, "b", "i1", ("y", "x"), raw.view("i1"), _FillValue=np.int8(-1), _Unsigned="true", scale_factor=0.1)
done(d, "cdf1-unsigned", "b", np.where(raw == 255, np.nan, raw * 0.1 + 0.0), None, [1.5, -1], [-0.5, 1], "float64")

# The types of the last format; integers keep their type, and the default fill value is no data.
d = make("cdf5-types", "NETCDF3_64BIT_DATA", dict(y=2, x=3))
var(d, "y", "f8", ("y",), [0, 1])
var(d, "x", "f8", ("x",), [0, 1, 2])
var(d, "u1", "u1", ("y", "x"), [[0, 1, 2], [253, 254, 255]])
var(d, "u2", "u2", ("y", "x"), [[0, 1, 2], [65533, 65534, 65535]])
var(d, "u4", "u4", ("y", "x"), [[0, 1, 2], [2**32 - 3, 2**32 - 2, 2**32 - 1]])
var(d, "i8", "i8", ("y", "x"), [[-(2**63), 2**53 + 1, -1], [0, 1, 2**63 - 1]])
var(d, "u8", "u8", ("y", "x"), np.array([[0, 2**53 + 1, 1], [2, 3, 2**64 - 1]], "u8"))
done(d, "cdf5-types", "u2", np.array([[0, 1, 2], [65533, 65534, 65535]], "u2"), 65535.0, [-0.5, 1], [-0.5, 1], "uint16")

# Bounds of time, rows and columns, heights, a grid mapping, the axes in an odd order.
d = make("cdf5-bounds", "NETCDF3_64BIT_DATA", dict(height=2, lat=3, lon=4, time=None, two=2))
var(d, "time", "f8", ("time",), [1.5, 4.5], units="hours since 2000-02-28 21:00", bounds="time_bnds")
var(d, "time_bnds", "f8", ("time", "two"), [[0, 3], [3, 6]])
var(d, "lat", "f8", ("lat",), [59, 57, 55], units="degrees_north", bounds="lat_bnds")
var(d, "lat_bnds", "f8", ("lat", "two"), [[58, 60], [56, 58], [54, 56]])
var(d, "lon", "f8", ("lon",), [0, 2, 4, 6], units="degrees_east")
var(d, "height", "f8", ("height",), [2, 10], units="m", axis="Z")
var(d, "crs", "i4", (), 0, grid_mapping_name="latitude_longitude", crs_wkt='GEOGCRS["WGS 84",DATUM["x",ELLIPSOID["y",6378137,298.3]],CS[ellipsoidal,2],ID["EPSG",4326]]')
t = rng.normal(size=(2, 2, 3, 4))
var(d, "t", "f8", ("time", "height", "lat", "lon"), t, grid_mapping="crs", _FillValue=-99.0)
done(d, "cdf5-bounds", "t", t, None, [60, -2], [-1, 2], "float64")
FIELDS["cdf5-bounds"].update(times=["2000-02-28T21:00:00Z", "2000-02-29T00:00:00Z"], labels=["2", "10"], crs="EPSG:4326")

# Times that are refused.
for name, calendar, times in [("noleap", "noleap", [0, 1]), ("irregular", "standard", [0, 1, 3.5])]:
    d = make(name, "NETCDF3_CLASSIC", dict(time=len(times), y=2, x=2))
    var(d, "time", "f8", ("time",), times, units="days since 2001-01-01", calendar=calendar)
    var(d, "y", "f8", ("y",), [1, 0])
    var(d, "x", "f8", ("x",), [0, 1])
    var(d, "v", "f4", ("time", "y", "x"), np.zeros((len(times), 2, 2)))
    done(d, name)

# NetCDF-4: every type in each layout, in both byte orders, and what is no number; attributes of each kind.
ALL = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"]


def every(code, count):
    if code[0] == "f":
        return rng.normal(size=count).astype(code)
    ends = np.iinfo(code)
    return rng.integers(ends.min, ends.max, count, dtype=code, endpoint=True)


d = make("nc4-types", "NETCDF4", dict(y=3, x=5))
layouts = [dict(contiguous=True), dict(chunksizes=(2, 2)), dict(compression="zlib", shuffle=True), dict(fletcher32=True, endian="big"), dict(endian="big")]
for number, code in enumerate(ALL):
    v = var(d, code, code, ("y", "x"), every(code, 15).reshape(3, 5), **layouts[number % 5], numbers=np.array([1, 2, 3], code))
    v.setncattr_string("note", code)
var(d, "scalar", "f8", (), 2.5)
var(d, "characters", "S1", ("x",), np.array(list("abcde"), "S1"))
d.createVariable("strings", str, ("x",))[:] = np.array(list("abcde"), object)
d.createVariable("enum", d.createEnumType("i1", "weather", dict(dry=0, wet=1)), ("x",))[:] = np.zeros(5, "i1")
pair = np.dtype([("re", "f4"), ("im", "f4")])
d.createVariable("pair", d.createCompoundType(pair, "complex"), ("x",))[:] = np.zeros(5, pair)
ragged = d.createVariable("ragged", d.createVLType("i4", "list"), ("x",))
for number in range(5):
    ragged[number] = np.arange(number, dtype="i4")
d.title = "every type"
d.setncattr_string("words", ["several", "strings"])
done(d, "nc4-types")

# Records that are compressed in chunks which do not divide them.
d = make("nc4-record", "NETCDF4", dict(time=None, y=3, x=5))
packed = dict(compression="zlib", shuffle=True, chunksizes=(3, 2, 2))
var(d, "time", "f8", ("time",), [0, 1 / 24, 2 / 24, 3 / 24], units="days since 2018-09-13 19:00", calendar="gregorian")
var(d, "y", "f8", ("y",), [35.5, 34.5, 33.5], units="m", standard_name="projection_y_coordinate")
var(d, "x", "f8", ("x",), [100, 110, 120, 130, 140], units="m", standard_name="projection_x_coordinate")
values = rng.integers(0, 100, (4, 3, 5))
var(d, "flag", "i1", ("time", "y", "x"), values, **packed)
rain = np.where(values > 80, np.nan, values / 8)
var(d, "rain", "f4", ("time", "y", "x"), rain, units="mm", fletcher32=True, **packed)
done(d, "nc4-record", "rain", rain.astype("f4"), None, [36, -1], [95, 10], "float32")

# Packed as in `cdf2-packed`, in the classic model, compressed with another filter in each variable.
d = make("nc4-packed", "NETCDF4_CLASSIC", dict(time=None, lat=4, lon=6))
var(d, "time", "i4", ("time",), [0, 10, 20], units="minutes since 1999-12-31 23:50:00 +01:00", calendar="proleptic_gregorian")
var(d, "lat", "f4", ("lat",), 50.05 + 0.1 * np.arange(4), units="degrees_north")
var(d, "lon", "f4", ("lon",), 5.05 + 0.1 * np.arange(6), units="degrees_east")
raw = rng.integers(0, 3000, (3, 4, 6)).astype("i2")
raw[0, 0, :4] = [-1, -2, 3001, -5]
var(d, "dbz", "i2", ("time", "lat", "lon"), raw, _FillValue=np.int16(-1), missing_value=np.int16(-2), valid_range=np.array([0, 3000], "i2"), scale_factor=np.float32(0.5), add_offset=np.float32(-32), compression="zlib", complevel=9, shuffle=True)
for name in ["zstd", "szip"]:
    var(d, name, "i2", ("time", "lat", "lon"), raw, compression=name, shuffle=name == "zstd")
dbz = np.where((raw < 0) | (raw > 3000), np.nan, raw * np.float64(0.5) - 32).astype("f4")
done(d, "nc4-packed", "dbz", dbz, None, [50, 0.1], [5, 0.1], "float32")
FIELDS["nc4-packed"]["crs"] = "EPSG:4326"

# Bounds and a grid mapping as in `cdf5-bounds`; their names, units and WKT are strings of variable length.
d = make("nc4-bounds", "NETCDF4", dict(height=2, lat=3, lon=4, time=None, two=2))
for name, dims, values, strings in [
    ("time", ("time",), [1.5, 4.5], dict(units="hours since 2000-02-28 21:00", bounds="time_bnds")),
    ("time_bnds", ("time", "two"), [[0, 3], [3, 6]], {}),
    ("lat", ("lat",), [59, 57, 55], dict(units="degrees_north", bounds="lat_bnds")),
    ("lat_bnds", ("lat", "two"), [[58, 60], [56, 58], [54, 56]], {}),
    ("lon", ("lon",), [0, 2, 4, 6], dict(units="degrees_east")),
    ("height", ("height",), [2, 10], dict(units="m", axis="Z")),
    ("crs", (), 0, dict(grid_mapping_name="latitude_longitude", crs_wkt='GEOGCRS["WGS 84",DATUM["x",ELLIPSOID["y",6378137,298.3]],CS[ellipsoidal,2],ID["EPSG",4326]]')),
]:
    v = var(d, name, "i4" if name == "crs" else "f8", dims, values)
    for key, text in strings.items():
        v.setncattr_string(key, text)
t = rng.normal(size=(2, 2, 3, 4))
var(d, "t", "f8", ("time", "height", "lat", "lon"), t, grid_mapping="crs", _FillValue=-99.0)
done(d, "nc4-bounds", "t", t, None, [60, -2], [-1, 2], "float64")
FIELDS["nc4-bounds"].update(times=["2000-02-28T21:00:00Z", "2000-02-29T00:00:00Z"], labels=["2", "10"], crs="EPSG:4326")

# Cells that were never written: missing chunks, records that only another variable has, nothing at all. A coordinate of two
# axes; a variable that has the name of a dimension which is not its own.
d = make("nc4-unwritten", "NETCDF4", dict(time=None, y=4, x=6))
var(d, "time", "i8", ("time",), [0, 1, 2, 3, 4], units="days since 2001-01-01")
var(d, "y", "f8", ("y", "x"), rng.normal(size=(4, 6)))
var(d, "x", "f8", ("y",), rng.normal(size=4))
v = var(d, "chunks", "i2", ("time", "y", "x"), None, chunksizes=(1, 2, 2), compression="zlib")
v[3, 1, 2:4] = 7
var(d, "short", "f4", ("time", "x"), np.arange(12).reshape(2, 6), _FillValue=np.float32(-1))
var(d, "nothing", "u4", ("time", "y"), None)
var(d, "fixed", "u2", ("y", "x"), None)
done(d, "nc4-unwritten")

# Dimensions of the root in groups, and more variables and attributes than an object's header holds.
d = make("nc4-dense", "NETCDF4", dict(y=2, x=3))
var(d, "y", "f4", ("y",), [1, 0])
var(d, "x", "f4", ("x",), [0, 1, 2])
for number in range(20):
    v = var(d, f"v{number}", "i4", ("y", "x"), number + np.arange(6).reshape(2, 3))
    if number == 7:
        for attribute in range(20):
            v.setncattr(f"a{attribute}", np.int32(attribute))
        v.long = "word " * 2000
group = d.createGroup("group")
group.createDimension("own", 2)
var(group, "v", "f4", ("own", "x"), np.zeros((2, 3)))
d.setncatts({f"a{number}": "text" for number in range(20)})
done(d, "nc4-dense", "v7", 7 + np.arange(6), -2147483647.0, [1.5, -1], [-0.5, 1], "int32")

# Records that were never written, and no fill value for them.
d = make("nc4-unfilled", "NETCDF4", dict(time=None))
d.set_fill_off()
var(d, "time", "i4", ("time",), [0, 1, 2], units="days since 2001-01-01")
var(d, "short", "f4", ("time",), [1.5])
d.close()

# Shapes that no memory holds, in a small file.
d = make("nc4-sparse", "NETCDF4", dict(huge=2**39, wide=2**24))
var(d, "plane", "u1", ("huge", "wide"), None, chunksizes=(1024, 1024), _FillValue=np.uint8(7))
var(d, "square", "u1", ("wide", "wide"), None, chunksizes=(1024, 1024))
var(d, "huge", "f8", ("huge",), None, chunksizes=(1024,))
d.close()

# What h5py writes: the newest layouts with each kind of index of chunks, no ids of dimensions; a group that holds itself, beside
# a variable that can grow.
with h5py.File(HERE / "nc4-h5py.nc", "w", libver="latest") as h:
    for name, count, grows in [("time", 5, True), ("y", 3, False), ("x", 4, True)]:
        h.create_dataset(name, data=np.arange(count, dtype="f8"), maxshape=(None if grows else count,)).make_scale(name)
    h["time"].attrs["units"] = "days since 2001-01-01"
    values = rng.normal(size=(5, 3, 4))
    for name, dims, storage in [
        ("single", "y", dict(chunks=(3,))),
        ("implicit", "yy", dict(chunks=(2, 2))),
        ("fixed", "yy", dict(chunks=(2, 1), compression="gzip")),
        ("extensible", "ty", dict(chunks=(1, 2), compression="gzip", shuffle=True)),
        ("tree", "tyx", dict(chunks=(2, 2, 3), fletcher32=True)),
    ]:
        names = [dict(t="time", y="y", x="x")[dim] for dim in dims]
        lens = [h[dim].shape[0] for dim in names]
        dataset = h.create_dataset(name, data=values.ravel()[: np.prod(lens)].reshape(lens).astype("f4"), maxshape=[h[dim].maxshape[0] for dim in names], **storage)
        for axis, dim in enumerate(names):
            dataset.dims[axis].attach_scale(h[dim])
    group = h.create_group("group")
    group["itself"] = group
    RAW["nc4-h5py"] = {n: dict(dtype=str(v.dtype), shape=list(v.shape), values=listed(v[...])) for n, v in h.items() if isinstance(v, h5py.Dataset)}

# What xarray writes through h5netcdf, as the Climate Data Store gives out: time under another name, rows from north to south, a
# coordinate of no axis, one of strings.
t2m = (280 + rng.normal(size=(3, 4, 5))).astype("f4")
xarray.Dataset(
    {"t2m": (("valid_time", "latitude", "longitude"), t2m, {"units": "K", "GRIB_missingValue": 3.4028234663852886e38})},
    {
        "valid_time": np.array(["2024-02-28T18", "2024-02-29T00", "2024-02-29T06"], "M8[ns]"),
        "latitude": ("latitude", 53 - 0.25 * np.arange(4), {"units": "degrees_north", "standard_name": "latitude"}),
        "longitude": ("longitude", 4 + 0.25 * np.arange(5), {"units": "degrees_east", "standard_name": "longitude"}),
        "number": 0,
        "expver": ("valid_time", np.array(["0001", "0001", "0005"])),
    },
).to_netcdf(
    HERE / "nc4-xarray.nc",
    engine="h5netcdf",
    encoding={"t2m": dict(zlib=True, shuffle=True, chunksizes=(2, 3, 5), _FillValue=np.float32(np.nan)), "valid_time": dict(units="seconds since 1970-01-01", dtype="i8")},
)
done(netCDF4.Dataset(HERE / "nc4-xarray.nc"), "nc4-xarray", "t2m", t2m, None, [53.125, -0.25], [3.875, 0.25], "float32")
FIELDS["nc4-xarray"]["crs"] = "EPSG:4326"
(HERE / "expected.json").write_text(json.dumps(dict(raw=RAW, fields=FIELDS)) + "\n")
