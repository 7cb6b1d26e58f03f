// What the canvas and the board of comparisons draw with. Stands before either of them.
const $ = (selector) => element.querySelector(selector);
const SVG = 'http://www.w3.org/2000/svg';
const make = (tag, attributes = {}, text = '') => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
};
const shape = (tag, attributes) => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
};
const percent = (share) => (share > 0 && share < 0.005 ? '<1' : Math.round(100 * share)) + ' %';
// Black letters on light colours, white on dark ones (relative luminance, WCAG 2.1)
const on = (color) => {
  const [r, g, b] = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16) / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? '#000' : '#fff';
};
const rect = ([x1, y1, x2, y2], attributes) => shape('rect', { x: x1, y: y1, width: x2 - x1, height: y2 - y1, ...attributes });
function corners([x1, y1, x2, y2]) {
  const a = Math.min(x2 - x1, y2 - y1) * 0.22;
  return `M${x1} ${y1 + a}V${y1}H${x1 + a}M${x2 - a} ${y1}H${x2}V${y1 + a}M${x2} ${y2 - a}V${y2}H${x2 - a}M${x1 + a} ${y2}H${x1}V${y2 - a}`;
}
// A finished answer above its picture: candidates thin, the pick strong, a best guess dashed, the true box by its corners
function overlay(svg, row, { width, height }, truth) {
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.replaceChildren();
  const hole = row.found ? row.boxes[row.pick].box : null;
  if (hole) svg.append(shape('path', { class: 'dim', 'fill-rule': 'evenodd', d: `M0 0H${width}V${height}H0ZM${hole[0]} ${hole[1]}H${hole[2]}V${hole[3]}H${hole[0]}Z` }));
  for (const [i, b] of row.boxes.entries()) {
    const special = i === row.pick ? (row.found ? 'pick' : 'guess') : '';
    svg.append(rect(b.box, { class: special === 'pick' ? 'halo strong' : 'halo' }));
    const node = rect(b.box, { class: `box ${special}` });
    node.style.setProperty('--c', b.color);
    svg.append(node);
  }
  if (truth) for (const name of ['corner under', 'corner']) svg.append(shape('path', { class: name, d: corners(truth) }));
}
