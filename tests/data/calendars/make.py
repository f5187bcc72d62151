"""Writes cftime.csv: python make.py (cftime 1.6). Units, calendar, number, and the time that cftime makes of it."""
import random
from pathlib import Path

import cftime

rng = random.Random(7)
SPAN = {"standard": (-4800, 2500), "julian": (-4800, 2500)}
TICKS = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}
EDGES = [(1582, 10, 4), (1582, 10, 15), (1, 1, 1), (4, 2, 29), (1500, 2, 28), (1900, 2, 28), (2000, 2, 28), (2000, 12, 30)]
rows = []
for calendar in ["standard", "proleptic_gregorian", "julian", "noleap", "all_leap", "360_day"]:
    low, high = SPAN.get(calendar, (-3000, 3000))
    dates = [(rng.randint(low, high), rng.randint(1, 12), rng.randint(1, 28)) for _ in range(60)] + EDGES
    if calendar in SPAN:
        dates = [date for date in dates if date[0] != 0]
        dates += [(-4713, 1, 1), (-1, 12, 31), (-1, 2, 29)]
    for year, month, day in dates:
        if calendar == "noleap" and (month, day) == (2, 29):
            continue
        tick = rng.choice(list(TICKS))
        zone = ":00" if rng.random() < 0.5 else ":30"
        sign = "-" if year < 0 else ""
        units = f"{tick} since {sign}{abs(year):04}-{month:02}-{day:02} {rng.randint(0, 23):02}:{rng.randint(0, 59):02}{zone}"
        days = rng.choice([0, 1, -1, 2, rng.randint(-400, 400), rng.randint(-500_000, 500_000)])
        number = days * 86_400 // TICKS[tick] + rng.randint(0, 40)
        time = cftime.num2date(number, units, calendar)
        if not low - 1500 < time.year < high + 1500:
            continue
        sign = "-" if time.year < 0 else ""
        shown = f"{sign}{abs(time.year):04}-{time.month:02}-{time.day:02}T{time.hour:02}:{time.minute:02}:{time.second:02}Z"
        rows.append(f"{units},{calendar},{number},{shown}")
Path(__file__).with_name("cftime.csv").write_text("\n".join(rows) + "\n")
