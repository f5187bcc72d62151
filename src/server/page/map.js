'use strict';

const map = L.map('map', { worldCopyJump: true, minZoom: 0, maxZoom: 24 }).setView([20, 0], 2);
map.attributionControl.setPrefix('gridstone');
graticule().addTo(map);

/** What is shown. */
const shown = { grid: null, collection: null, range: null, pinned: false, times: [], at: null, tiles: null, marker: null, events: null, round: 0 };

/** Lines every 30 degrees, as there is no other map below. */
function graticule() {
  const lines = [];
  for (let lon = -180; lon <= 180; lon += 30) lines.push([[-85, lon], [85, lon]]);
  for (let lat = -60; lat <= 60; lat += 30) lines.push([[lat, -180], [lat, 180]]);
  return L.polyline(lines, { color: '#b4bec6', weight: 1, interactive: false });
}

/** The parameters of the tiles. */
function parameters(more = {}) {
  const all = new URLSearchParams();
  if (element('layer').value !== 'default') all.set('layer', element('layer').value);
  all.set('ramp', element('ramp').value);
  all.set('resampling', element('resampling').value);
  if (!element('band-row').hidden) all.set('band', element('band').value);
  if (shown.at !== null) all.set('time', shown.times[shown.at]);
  for (const [name, value] of Object.entries(more)) all.set(name, value);
  return all;
}

/** Draws the tiles anew; those that did not change cost a 304. */
async function redraw(fit = false) {
  const name = encodeURIComponent(shown.grid), round = ++shown.round;
  const pinned = shown.pinned ? { min: element('min').value, max: element('max').value } : {};
  const json = await getJson(`tiles/${name}/tiles.json?${parameters(pinned)}`);
  if (round !== shown.round) return;
  shown.range = json.gridstone.range || [0, 1];
  if (!shown.pinned) [element('min').value, element('max').value] = shown.range.map(shortNumber);
  element('unit').textContent = json.gridstone.unit || '';
  element('legend-ramp').src = `tiles/${name}/legend.png?ramp=${element('ramp').value}`;
  const [min, max] = shown.pinned ? [pinned.min, pinned.max] : shown.range;
  const address = `tiles/${name}/{z}/{x}/{y}.png?${parameters({ min, max, v: round })}`;
  const [west, south, east, north] = json.bounds;
  const tiles = L.tileLayer(address, { maxNativeZoom: Math.min(24, json.maxzoom + 2), maxZoom: 24, opacity: Number(element('opacity').value), bounds: [[south, west], [north, east]] });
  const before = shown.tiles;
  shown.tiles = tiles.addTo(map);
  // What was there stays until what comes is.
  if (before) { tiles.once('load', () => before.remove()); setTimeout(() => before.remove(), 5000); }
  if (fit) map.fitBounds([[south, west], [north, east]], { maxZoom: json.maxzoom + 4, animate: false });
  showTime();
}

function showTime() {
  const at = shown.at === null ? shown.times.length - 1 : shown.at;
  element('time-row').hidden = shown.times.length < 2;
  element('time').max = Math.max(0, shown.times.length - 1);
  element('time').value = at;
  element('time-shown').textContent = (shown.times[at] || '') + (shown.at === null ? ' (latest)' : '');
}

/** Shows another grid. */
async function choose(name) {
  shown.grid = name;
  Object.assign(shown, { pinned: false, times: [], at: null });
  const collection = await getJson(`edr/collections/${encodeURIComponent(name)}`);
  shown.collection = collection;
  fill(element('layer'), ['default', ...collection.gridstone.layers], 'default');
  const bands = Object.keys(collection.parameter_names);
  element('band-row').hidden = bands.length < 2;
  fill(element('band'), bands, bands[0]);
  element('found').hidden = true;
  if (shown.marker) { shown.marker.remove(); shown.marker = null; }
  await redraw(true);
  shown.times = await timesOf(collection).catch(() => []);
  showTime();
  listen(name);
  location.hash = encodeURIComponent(name);
}

/** Draws anew whenever something has changed. */
function listen(name) {
  if (shown.events) shown.events.close();
  const events = new EventSource(`changes/${encodeURIComponent(name)}`);
  let timer = null, count = 0;
  const later = () => {
    count += 1;
    tell(`live: ${count} ${count === 1 ? 'change' : 'changes'}`);
    if (timer === null) timer = setTimeout(async () => {
      timer = null;
      await attempt(async () => {
        await redraw();
        shown.times = await timesOf(shown.collection).catch(() => shown.times);
        showTime();
        if (shown.marker) await find(shown.marker.getLatLng());
      });
    }, 150);
  };
  events.addEventListener('ready', () => tell('live'));
  events.addEventListener('change', later);
  events.addEventListener('reset', later);
  events.addEventListener('gone', () => { events.close(); tell(`grid ${name} is gone`, true); });
  events.onerror = () => tell('the server does not answer; trying again', true);
  shown.events = events;
}

/** Shows what is at a place. */
async function find(at) {
  const place = L.latLng(at).wrap();
  if (!shown.marker) shown.marker = L.circleMarker(place, { radius: 5, color: '#b00020', weight: 2 }).addTo(map);
  shown.marker.setLatLng(place);
  const query = new URLSearchParams({ coords: `POINT(${place.lng} ${place.lat})`, crs: 'CRS84' });
  const name = element('band-row').hidden ? null : element('band').value;
  if (name) query.set('parameter-name', name);
  element('found').hidden = false;
  element('found-head').textContent = `${place.lat.toFixed(5)}, ${place.lng.toFixed(5)}`;
  try {
    const found = await getJson(`edr/collections/${encodeURIComponent(shown.grid)}/position?${query}`);
    const [parameter, range] = Object.entries(found.ranges)[0];
    const unit = found.parameters[parameter].unit ? ` ${found.parameters[parameter].unit.symbol}` : '';
    const series = range.values.length > 1;
    const at = shown.at === null ? range.values.length - 1 : Math.min(shown.at, range.values.length - 1);
    const value = range.values[at];
    element('found-head').textContent += `: ${value === null || value === undefined ? 'no data' : value + unit}`;
    element('plot').toggleAttribute('hidden', !series);
    const key = Object.keys(found.domain.axes).find(key => key !== 'x' && key !== 'y');
    const times = key ? found.domain.axes[key].values : [];
    element('found-text').textContent = series ? `${parameter}, ${times[0]} to ${times[times.length - 1]}` : parameter;
    if (series) drawPlot(element('plot'), range.values);
  } catch (error) {
    element('plot').toggleAttribute('hidden', true);
    element('found-text').textContent = error.message;
  }
}

/** Does something, and tells what went wrong. */
async function attempt(work) {
  try { await work(); } catch (error) { tell(error.message, true); }
}

async function start() {
  fill(element('ramp'), RAMPS, 'viridis');
  const { collections } = await getJson('edr/collections');
  const names = collections.map(collection => collection.id);
  fill(element('grid'), names, names[0]);
  if (names.length === 0) return tell('the store has no grid with rows and columns');
  const asked = decodeURIComponent(location.hash.slice(1));
  const first = names.includes(asked) ? asked : (collections.find(of => of.gridstone.on_map) || collections[0]).id;
  element('grid').value = first;
  await choose(first);
}

element('grid').addEventListener('change', event => attempt(() => choose(event.target.value)));
for (const id of ['layer', 'band']) element(id).addEventListener('change', () => { shown.pinned = false; attempt(() => redraw()); });
for (const id of ['ramp', 'resampling']) element(id).addEventListener('change', () => attempt(() => redraw()));
for (const id of ['min', 'max']) element(id).addEventListener('change', () => {
  shown.pinned = element('min').value !== '' && element('max').value !== '';
  attempt(() => redraw());
});
element('opacity').addEventListener('input', event => shown.tiles && shown.tiles.setOpacity(Number(event.target.value)));
element('time').addEventListener('input', event => { shown.at = Number(event.target.value); showTime(); });
element('time').addEventListener('change', () => attempt(async () => { await redraw(); if (shown.marker) await find(shown.marker.getLatLng()); }));
element('latest').addEventListener('click', () => { shown.at = null; attempt(() => redraw()); });
element('close').addEventListener('click', () => { element('found').hidden = true; if (shown.marker) shown.marker.remove(); shown.marker = null; });
element('panel').addEventListener('submit', event => event.preventDefault());
map.on('click', event => attempt(() => find(event.latlng)));
attempt(start);
