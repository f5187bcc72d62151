#!/usr/bin/env bash
# Imports real elevation, changes a part of it, shows what was recomputed, verifies, and makes a picture.
set -euo pipefail

gridstone=$1
cd "$(dirname "$0")/.."
work=target/demo
rm -rf "$work"
mkdir -p "$work"

run() {
    printf '\n$ gridstone %s\n' "$*"
    "$gridstone" "$@"
}

run create $work/store dem --like tests/data/srtm.tif --aggregator mean,max
run import $work/store dem tests/data/srtm.tif
run info $work/store dem
total=$("$gridstone" info $work/store dem --json | tr -d ' \n' | sed 's/.*"chunks":\([0-9]*\),"crs".*/\1/')

printf '\nA reservoir is filled: 90 x 120 cells change. Only the chunks above them are computed again.\n'
run read $work/store dem --window 600:690,300:420
run import $work/store dem tests/data/srtm_patch.tif
echo "of $total chunks in all"
run read $work/store dem --window 600:690,300:420
run verify $work/store
run read $work/store dem --shape 512x640 --resampling area --min 0 --max 4200 --out $work/dem.png
run read $work/store dem --level 3 --out $work/dem-8x-coarser.tif
printf '\nThe picture is %s/dem.png; the store is %s/store.\n' "$PWD/$work" "$PWD/$work"
