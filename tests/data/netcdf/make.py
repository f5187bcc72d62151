"""Writes the files of this folder and expected.json: python make.py (netCDF4 1.7, numpy 2)."""
import json
import struct
from pathlib import Path

import cftime
import netCDF4
import numpy as np

HERE = Path(__file__).parent
RAW, FIELDS = {}, {}
rng = np.random.default_rng(5)


def make(name, model, dims):
    d = netCDF4.Dataset(HERE / f"{name}.nc", "w", format=model)
    d.set_auto_maskandscale(False)
    for dim, size in dims.items():
        d.createDimension(dim, size)
    return d


def var(d, name, dtype, dims, values, **attributes):
    fill = attributes.pop("_FillValue", None)
    v = d.createVariable(name, dtype, dims, fill_value=fill)
    v.set_auto_maskandscale(False)
    for key, value in attributes.items():
        v.setncattr(key, value)
    v[:] = np.asarray(values).astype(dtype) if dtype != "S1" else values


def listed(a):
    """As text, exactly: floats as the bits of the double, which JSON readers would round."""
    a = np.asarray(a)
    if a.dtype.kind == "f":
        return [None if np.isnan(v) else struct.pack(">d", v).hex() for v in a.ravel()]
    return [str(int(v)) for v in a.ravel()]


def done(d, name, field=None, values=None, nodata=None, y=None, x=None, dtype=None):
    """Raw values of all variables as the library reads them; decoded ones as the generator means them."""
    d.close()
    d = netCDF4.Dataset(HERE / f"{name}.nc")
    d.set_auto_maskandscale(False)
    RAW[name] = {n: dict(dtype=str(v.dtype), shape=list(v.shape), values=listed(v[:])) for n, v in d.variables.items() if v.dtype.kind != "S"}
    if field:
        time = d.variables.get("time")
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

(HERE / "expected.json").write_text(json.dumps(dict(raw=RAW, fields=FIELDS)) + "\n")
