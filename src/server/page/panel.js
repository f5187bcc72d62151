'use strict';

const RAMPS = ['viridis', 'inferno', 'magma', 'plasma', 'cividis', 'turbo', 'grays', 'rdylbu', 'brbg', 'spectral'];
const element = id => document.getElementById(id);

/** Asks for JSON; the sentence of a problem is the error. */
async function getJson(address) {
  const response = await fetch(address);
  const body = await response.json();
  if (!response.ok) throw new Error(body.detail || response.statusText);
  return body;
}

function tell(text, wrong = false) {
  element('state').textContent = text;
  element('state').classList.toggle('wrong', wrong);
}

function fill(select, names, chosen) {
  select.replaceChildren(...names.map(name => new Option(name, name, false, name === chosen)));
}

/** The times of a grid, as many as a slider has use for. */
async function timesOf(collection) {
  const extent = collection.extent;
  if (!collection.gridstone.axes.time || !extent.spatial) return [];
  const [west, south, east, north] = extent.spatial.bbox[0];
  const crs = collection.gridstone.on_map ? '&crs=CRS84' : '';
  const point = `POINT(${(west + east) / 2} ${(south + north) / 2})`;
  const name = encodeURIComponent(collection.id);
  const found = await getJson(`edr/collections/${name}/position?coords=${encodeURIComponent(point)}${crs}`);
  const axes = found.domain.axes;
  const key = Object.keys(axes).find(key => key !== 'x' && key !== 'y');
  return key ? axes[key].values : [];
}
