// Several methods' answers to one question, side by side. As in the canvas, each request has a number, and a value that answers an
// earlier one is dropped.
const BEFORE = 'Each model alone, each with the LLM, and all together answer this question. Their picks appear here, side by side.';
let number = 0, now = {}, running = false, chosen = false;  // chosen: the two sides, by the visitor

watch('value', () => {
  const value = JSON.parse(JSON.stringify(props.value ?? null));
  if (!value || (value.number !== null && value.number !== number)) return;
  running = Boolean(value.busy);
  if (value.error) { running = false; $('.trouble').textContent = value.error; controls(); return; }
  $('.trouble').textContent = '';
  if (value.number === null) {  // another question: what is still being compared is of the last one
    number += 1;
    trigger('halt', { number });
  }
  now = value;
  show();
});

function controls() {
  $('.stop').hidden = !running;
  $('.go').hidden = !now.session;
}
$('.go').addEventListener('click', () => {
  number += 1;
  if (running) trigger('halt', { number });
  running = true;
  $('.trouble').textContent = '';
  controls();
  trigger('compare', { number });
});
$('.stop').addEventListener('click', () => { number += 1; trigger('halt', { number }); running = false; $('.agree').textContent = 'Stopped. What is shown stays.'; controls(); });

function point(i) {
  for (const node of element.querySelectorAll('[data-row]')) node.classList.toggle('lit', Number(node.dataset.row) === i);
}

function show() {
  const url = now.picture?.file.url, rows = now.rows ?? [];
  $('.small').style.backgroundImage = url ? `url("${url}")` : '';
  $('.question').textContent = now.words ? `“${now.words}”` : 'Ask something in the Locate tab; it is compared here.';
  $('.agree').textContent = now.busy || now.agree || (now.session && !rows.length ? BEFORE : '');
  $('.scroll').hidden = $('.over').hidden = rows.length === 0;
  $('.over').hidden = rows.length < 2;
  $('.verdicts tbody').replaceChildren(...rows.map((row, i) => {
    const line = make('tr', { 'data-row': i });
    const verdict = make('td', { class: row.mark }, { right: '✓ right', wrong: '✗ wrong' }[row.mark] ?? '');
    line.append(make('td', {}, row.name), verdict, make('td', {}, row.said), make('td', { class: 'number' }, row.share), make('td', { class: 'number' }, row.overlap), make('td', { class: 'number' }, row.ms));
    return line;
  }));
  $('.cards').replaceChildren(...rows.map((row, i) => {
    const card = make('li', { class: 'card', 'data-row': i }), shot = make('div', { class: 'shot' }), text = make('div', { class: 'words' });
    const svg = shape('svg', { 'aria-hidden': 'true' });
    shot.append(make('img', { src: url, alt: `${row.name}: ${row.said}`, loading: 'lazy' }), svg);
    overlay(svg, row, now.picture, now.truth);
    const said = make('span', {}, `${row.said}${row.sure ? ` · ${row.sure}` : ''} `);
    if (row.mark) said.append(make('span', { class: row.mark }, { right: '✓ right', wrong: '✗ wrong' }[row.mark]));
    text.append(make('b', {}, row.name), said);
    card.append(shot, text);
    return card;
  }));
  for (const node of element.querySelectorAll('[data-row]')) {
    node.addEventListener('pointerenter', () => point(Number(node.dataset.row)));
    node.addEventListener('pointerleave', () => point(null));
  }
  for (const [name, at] of [['.first', 0], ['.second', rows.length - 1]]) {
    const select = $(name), before = select.value;
    select.replaceChildren(...rows.map((row, i) => make('option', { value: row.name }, row.name)));
    select.value = chosen && rows.some((row) => row.name === before) ? before : rows[at]?.name ?? '';
  }
  $('.both img').src = url ?? '';
  const aspect = now.picture ? now.picture.width / now.picture.height : 1;
  for (const name of ['.both', '.split']) $(name).style.width = `min(100%, ${(62 * aspect).toFixed(1)}vh)`;
  slide();
  const table = $('.matrix table'), matrix = now.matrix ?? [];
  $('.matrix').hidden = $('.save').hidden = matrix.length === 0;
  const head = make('tr');
  head.append(make('th'), ...matrix.map((_, i) => make('th', { scope: 'col', class: 'number', title: rows[i]?.name ?? '' }, String(i + 1))));
  table.replaceChildren(head, ...matrix.map((line, i) => {
    const tr = make('tr');
    tr.append(make('th', { scope: 'row' }, `${i + 1} ${rows[i]?.name ?? ''}`), ...line.map((v) => make('td', { class: 'number' }, v === null ? '–' : v.toFixed(2))));
    return tr;
  }));
  controls();
}

function slide() {
  const rows = now.rows ?? [], at = `${$('.split').value}%`;
  const [first, second] = ['.first', '.second'].map((name) => rows.find((row) => row.name === $(name).value));
  if (!first || !second) return;
  const [upper, under] = ['.both .upper', '.both .under'].map($);
  overlay(upper, first, now.picture, now.truth);
  overlay(under, second, now.picture, now.truth);
  upper.style.clipPath = `inset(0 calc(100% - ${at}) 0 0)`;
  under.style.clipPath = `inset(0 0 0 ${at})`;
  $('.both .line').style.left = at;
}
for (const name of ['.first', '.second', '.split']) $(name).addEventListener('input', () => { chosen ||= name !== '.split'; slide(); });
$('.save').addEventListener('click', () => {
  const blob = new Blob([JSON.stringify(now.facts, null, 1)], { type: 'application/json' });
  const link = make('a', { href: URL.createObjectURL(blob), download: 'comparison.json' });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
show();
