'use strict';

/** Draws values over their steps: a line that breaks where there is none. */
function drawPlot(svg, values) {
  const [left, right, top, bottom] = [56, 594, 8, 168];
  const known = values.filter(value => value !== null);
  svg.replaceChildren();
  if (known.length === 0) return;
  let [low, high] = known.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
  if (low === high) { low -= 1; high += 1; }
  const x = at => left + (right - left) * (values.length < 2 ? 0.5 : at / (values.length - 1));
  const y = value => bottom - (bottom - top) * (value - low) / (high - low);
  const add = (name, attributes, text) => {
    const element = document.createElementNS('http://www.w3.org/2000/svg', name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    svg.append(element);
  };
  for (const part of [0, 0.5, 1]) {
    const value = low + (high - low) * part;
    add('line', { x1: left, x2: right, y1: y(value), y2: y(value), stroke: '#ddd' });
    add('text', { x: left - 4, y: y(value) + 4, 'text-anchor': 'end', 'font-size': 11, fill: '#555' }, shortNumber(value));
  }
  let path = '', pen = false;
  values.forEach((value, at) => {
    if (value === null) { pen = false; return; }
    path += `${pen ? 'L' : 'M'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = true;
  });
  add('path', { d: path, fill: 'none', stroke: '#1f5fa8', 'stroke-width': 1.5, 'vector-effect': 'non-scaling-stroke' });
  if (known.length <= 80) {
    values.forEach((value, at) => {
      if (value !== null) add('circle', { cx: x(at), cy: y(value), r: 2, fill: '#1f5fa8' });
    });
  }
}

/** A number in a few digits. */
function shortNumber(value) {
  return Number.isInteger(value) && Math.abs(value) < 1e7 ? String(value) : String(Number(value.toPrecision(5)));
}
