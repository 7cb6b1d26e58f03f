// The picture with live boxes. Runs once, when the component is on the page; Gradio hands in `element`, `props`, `trigger`, `watch`,
// `server` and `upload`. What is shown is `now`, the last value that answers the last request: each request has a number, and a value
// that answers an earlier one is dropped. Labels and words are anybody's, so they are set as text, never as HTML.
const [view, stage, image, svg, tags, list] = ['.view', '.stage', '.stage img', 'svg', '.tags', '.rows'].map($);
const words = $('.words'), menu = $('.menu'), thumbs = $('.thumbs');
const WHOLE = ['open', 'ask', 'again', 'scene', 'example', 'upload'];  // what leaves nothing of the answer that is there
const EDITS = ['take_box', 'add_box', 'move_box', 'true_box', 'shuffle'];  // of the list, whatever words are being written
const REMEMBERED = 'llm-wrapper-session', STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };

let asked_for = '', unsent = false;          // what the last request is for; whether there are words that were not sent
let number = 0, now = {}, sent = null, running = false, past = [], going_back = false;
let lit = null, held = null;               // the box that is pointed at, and the one that is selected
let zoom = 1, left = 0, top_ = 0, fit = 1;  // the stage's place in the view: scale beyond what fits, and offsets in pixels
let drawn = null, shown_before = null;      // a box that was drawn and not yet said to be anything
let waiting = [];                           // changes that were made while another one is asked about
let drawing = false, wheel = false, uploading = false;
let brought = null, asked_meanwhile = false;  // a picture that came before the page was open; whether Locate was pressed before a picture was there

// A browser may refuse to remember anything
function keep(name) { try { sessionStorage.setItem(REMEMBERED, name); } catch { /* then a reload begins anew */ } }
function kept() { try { return sessionStorage.getItem(REMEMBERED); } catch { return null; } }

// ---- requests

// One change of the list after the other: each is of the list that the one before it leaves, in which the same box may have another number
function edit(event, data) {
  const of = data.index === undefined ? null : now.boxes[data.index].box;
  if (running && EDITS.includes(asked_for)) waiting.push({ event, data, of });
  else ask(event, data);
}
function next() {
  while (waiting.length && !running) {
    const { event, data, of } = waiting.shift(), index = of && now.boxes.findIndex((b) => String(b.box) === String(of));
    if (index === -1) continue;  // it is gone
    const rest = waiting;
    ask(event, of ? { ...data, index } : data);
    waiting = rest;
  }
}
function ask(event, data = {}) {
  if (running && now.session === undefined && event !== 'open') return;  // the page is being opened
  waiting = [];
  uploading = asked_meanwhile = false;
  asked_for = event;
  number += 1;
  if (running) trigger('halt', { number });
  running = true;
  problem('');
  if (now.session) {  // a reload brings back what is shown, and no longer what a link named
    const link = new URL(location.href);
    for (const name of ['answer', 'example']) link.searchParams.delete(name);
    history.replaceState(history.state, '', link);
  }
  trigger(event, { ...data, number, session: now.session ?? null });
  if (!now.answer || WHOLE.includes(event)) $('.said').replaceChildren(make('p', { class: 'busy' }, 'Asking …'));
  $('.said').classList.add('old');
  buttons();
}
function problem(text) { $('.trouble').textContent = text; }
function idle() { running = false; buttons(); }

watch('value', () => {
  const value = JSON.parse(JSON.stringify(props.value ?? null));
  if (!value) return;
  if (value.number !== null && value.number !== number) {  // to an earlier request; what the server is told of is what is shown
    if (now.session && JSON.stringify(value) !== JSON.stringify(sent)) props.value = sent;
    return;
  }
  if (value.error) {
    going_back = false;
    waiting = [];
    idle();
    problem(value.error);
    said();
    if (sent) props.value = sent;  // so that the other tabs go on with what is shown
    return;
  }
  if (value.shuffled) { idle(); said(); $('.shuffled').textContent = value.shuffled; props.value = sent; next(); return; }
  if (value.number === null && running) {  // it was not asked for here, and what was asked for is given up
    number += 1;
    trigger('halt', { number });
    waiting = [];
  }
  show(value);
});

function show(value, stopped = false) {
  const before = now;
  if (before.answer && value.busy) shown_before = before;
  if (stopped) { past.pop(); unsent = true; }
  now = value;
  if (!value.halted) sent = value;
  if (going_back) past.pop();
  else if (before.answer && before.session !== value.session && value.number !== null) past.push(before.session);
  if (past.length > 50) past.shift();
  going_back = false;
  running = value.busy !== '';
  // Words that are being written stay, unless something else was asked for than what is shown about them
  const writing = unsent && (value.session !== before.session || value.number === null) && EDITS.includes(asked_for);
  if (!writing && !(before.session === undefined && unsent) && words.value.trim() !== value.words) words.value = value.words;
  if (!writing) unsent = words.value.trim() !== value.words;
  const file = value.picture?.file.url;
  if (before.picture?.file.url !== file) { image.src = file; look(); }
  image.alt = value.answer ? `The picture. ${value.answer.headline}` : 'The picture';
  $('.empty').hidden = Boolean(file);
  lit = null;
  held = null;
  drag = null;
  closeMenu();
  if (value.session && !value.busy) keep(value.session);
  if (value.opened) setTimeout(() => element.scrollIntoView({ block: 'start' }), 200);  // once its tab is there
  if (value.notice) problem(value.notice);
  draw();
  said();
  rows();
  more();
  notes();
  choose();
  buttons();
  next();
  if (brought) {
    const file = brought, asked = asked_meanwhile;
    brought = null;
    bring(file);  // which stops what was asked before
    asked_meanwhile = asked;
  }
}

// ---- the answer in words

function said() {
  const place = $('.said'), answer = now.answer;
  place.replaceChildren();
  place.classList.remove('old');
  if (now.busy) place.append(make('p', { class: 'busy' }, now.busy));
  else if (answer) {
    const line = make('h2', {}, answer.headline);
    if (answer.share) line.append(make('small', {}, ` · ${answer.share}`));
    if (answer.mark) line.append(make('small', { class: answer.mark, title: answer.verdict }, answer.mark === 'right' ? ' ✓ right' : ' ✗ wrong'));
    place.append(line, make('p', { class: 'why' }, answer.mark === 'wrong' ? answer.verdict : answer.why));
  } else if (now.picture) place.append(make('p', {}, now.halted ? 'Stopped. Press Locate to ask again.' : 'Describe one object in words, then press Locate.'));
  crop();
}

function crop() {
  const place = $('.crop'), answer = now.answer, guess = answer?.guess ?? null;
  place.hidden = guess === null || Boolean(now.busy);
  if (place.hidden) return;
  const [x1, y1, x2, y2] = now.boxes[guess].box, side = 78, { width, height, file } = now.picture;
  const scale = side / Math.max(x2 - x1, y2 - y1);
  place.className = answer.sure ? 'crop' : 'crop guess';
  place.style.width = `${Math.max(20, (x2 - x1) * scale)}px`;
  place.style.height = `${Math.max(20, (y2 - y1) * scale)}px`;
  place.style.backgroundImage = `url("${file.url}")`;
  place.style.backgroundSize = `${width * scale}px ${height * scale}px`;
  place.style.backgroundPosition = `${-x1 * scale}px ${-y1 * scale}px`;
}

function order() {
  const all = (now.boxes ?? []).map((_, i) => i);
  return all.sort((a, b) => (now.boxes[b].share ?? -1) - (now.boxes[a].share ?? -1) || a - b);
}

function rows() {
  list.replaceChildren();
  list.hidden = !now.boxes?.length;
  const most = Math.max(...(now.boxes ?? []).map((b) => b.share ?? 0));
  for (const i of order()) {
    const b = now.boxes[i];
    const row = make('li', { class: 'row', role: 'option', id: `row-${i}`, 'data-i': i, 'aria-selected': 'false' });
    row.style.setProperty('--c', b.color);
    row.style.setProperty('--on', on(b.color));
    const label = make('span', { class: 'label', title: `${b.label} (${b.who}${b.score === null ? '' : `, score ${b.score.toFixed(2)}`})` }, `${b.label} `);
    label.append(make('span', { class: 'who' }, b.who + (b.score === null ? '' : ` ${b.score.toFixed(2)}`)));
    row.append(make('span', { class: 'chip' }, String(i)), label, make('span', { class: 'share' }, b.share === null ? '' : percent(b.share)));
    if (b.share !== null) {
      const bar = make('span', { class: 'bar' }), filled = make('i');
      filled.style.width = `${Math.max(1, 100 * b.share)}%`;
      bar.append(filled);
      row.append(bar);
    }
    if (i === now.answer?.pick && b.share !== null && b.share === most) row.classList.add('picked');
    list.append(row);
  }
  mark();
}

function notes() {
  $('.notes').replaceChildren(...(now.notes ?? []).map((text) => {
    const [first, rest] = text.split(/: (.*)/s);
    if (!rest) return make('p', {}, text);
    const box = make('details');
    box.append(make('summary', {}, `${first}.`), make('p', {}, rest));
    return box;
  }));
}

function more() {
  const answer = now.answer;
  $('.more').hidden = !answer;
  $('.shuffled').textContent = '';
  $('.address').hidden = true;
  $('.copy').textContent = 'Copy';
  if (!answer) return;
  $('.about dl').replaceChildren(...answer.details.flatMap(([name, text]) => [make('dt', {}, name), make('dd', {}, text)]));
  $('.read pre').textContent = answer.prompt || 'The LLM was not asked.';
  $('.copy').hidden = !answer.prompt;
  $('.shuffle').hidden = !now.boxes.some((b) => b.share !== null);
}

function buttons() {
  $('.stop').hidden = !running;
  $('.go').hidden = running;  // one in the other's place, so that nothing moves
  $('.again').hidden = running || !now.answer || !now.boxes.length || words.value.trim() === now.words.trim() || words.value.trim() === '';
  $('.undo').parentElement.hidden = past.length === 0;
  $('.acts').hidden = held === null || !now.answer;
  $('.said').classList.toggle('old', running || Boolean(now.answer) && other_words());
  keep_focus();
}
// What stands in the field is not what was asked
function other_words() { return words.value.trim() !== (now.words ?? '').trim(); }
// What has the keyboard must not vanish from under it
function keep_focus() {
  const at = document.activeElement;
  if (at && at !== document.body && element.contains(at) && at.getClientRects().length === 0) svg.focus({ preventScroll: true });
}

// ---- the picture

function look() { zoom = 1; left = 0; top_ = 0; place(); }
function place() {
  if (!now.picture) return;
  const { width, height } = now.picture, box = view.getBoundingClientRect();
  if (!box.width) return;
  const before = fit;
  fit = Math.min(box.width / width, box.height / height);
  if (zoom > 1 && before !== fit) { left *= fit / before; top_ *= fit / before; }  // the window has another size: the same place stays in view
  const w = width * fit * zoom, h = height * fit * zoom;
  left = w <= box.width ? (box.width - w) / 2 : Math.min(0, Math.max(box.width - w, left));
  top_ = h <= box.height ? (box.height - h) / 2 : Math.min(0, Math.max(box.height - h, top_));
  Object.assign(stage.style, { width: `${w}px`, height: `${h}px`, transform: `translate(${left}px, ${top_}px)` });
  $('.fit').hidden = zoom === 1;
  view.classList.toggle('held', zoom > 1 || drawing);
  tag();
  handles();
}
function zoomAt(x, y, factor) {
  const next = Math.min(12, Math.max(1, zoom * factor)), box = view.getBoundingClientRect();
  const [px, py] = [(x - box.left - left) / zoom, (y - box.top - top_) / zoom];
  left = x - box.left - px * next;
  top_ = y - box.top - py * next;
  zoom = next;
  place();
}
new ResizeObserver(place).observe(view);

const area = (b) => (b.box[2] - b.box[0]) * (b.box[3] - b.box[1]);

function draw() {
  if (!now.picture) return;
  const { width: w, height: h } = now.picture, answer = now.answer;
  svg.setAttribute('viewBox', `0 0 ${w} ${h}`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.replaceChildren();
  const best = answer?.sure ? now.boxes[answer.pick]?.box : null;
  const hole = best ? `M${best[0]} ${best[1]}H${best[2]}V${best[3]}H${best[0]}Z` : '';
  if (best) svg.append(shape('path', { class: 'dim', 'aria-hidden': 'true', 'fill-rule': 'evenodd', d: `M0 0H${w}V${h}H0Z${hole}` }));
  // The large ones below, so that every box can be pressed somewhere
  const stack = now.boxes.map((_, i) => i).sort((a, b) => area(now.boxes[b]) - area(now.boxes[a]));
  for (const i of stack) {
    const b = now.boxes[i], special = answer && (i === answer.pick && answer.sure ? 'pick' : i === answer.guess && !answer.sure ? 'guess' : '');
    svg.append(rect(b.box, { class: special === 'pick' ? 'halo strong' : 'halo', 'aria-hidden': 'true' }));
    const node = rect(b.box, { class: `box ${special ?? ''}`, role: 'option', id: `box-${i}`, 'data-i': i, 'aria-selected': 'false' });
    node.setAttribute('aria-label', `${i}: ${b.label}, by ${b.who}${b.share === null ? '' : `, ${percent(b.share)}`}`);
    node.style.setProperty('--c', b.color);
    svg.append(node);
  }
  if (now.truth) {
    for (const name of ['corner under', 'corner']) svg.append(shape('path', { class: name, 'aria-hidden': 'true', d: corners(now.truth) }));
  }
  tags.replaceChildren(...now.boxes.map((b, i) => {
    const node = make('span', { class: 'tag', 'data-i': i });
    node.style.setProperty('--c', b.color);
    node.style.setProperty('--on', on(b.color));
    return node;
  }));
  mark();
}
// Numbers at the boxes' corners; the words too at the pick and at what is pointed out
function tag() {
  const box = view.getBoundingClientRect(), answer = now.answer;
  for (const node of tags.children) {
    const i = Number(node.dataset.i), b = now.boxes[i], strong = i === answer?.pick && answer.sure, whole = strong || i === lit || i === held;
    if (!b) continue;
    const scale = fit * zoom, [x, y] = [b.box[0] * scale, b.box[1] * scale];
    node.textContent = whole ? `${i} ${b.label}` : String(i);
    node.className = `tag${strong ? ' pick' : ''}${i === lit || i === held ? ' lit' : ''}${y + top_ < 18 ? ' below' : ''}`;
    node.style.left = `${Math.max(0, Math.min(x, box.width - left - (whole ? 120 : 24)))}px`;
    node.style.top = `${y}px`;
  }
}

// What is pointed at or selected, in the picture and in the list alike
function mark() {
  for (const node of element.querySelectorAll('.box, .row')) {
    const i = Number(node.dataset.i);
    node.classList.toggle('lit', i === lit);
    node.classList.toggle('held', i === held);
    node.setAttribute('aria-selected', String(i === held));
  }
  for (const [host, name] of [[svg, 'box'], [list, 'row']]) {
    const at = lit ?? held;
    if (at === null) host.removeAttribute('aria-activedescendant');
    else host.setAttribute('aria-activedescendant', `${name}-${at}`);
  }
  handles();
  tag();
  buttons();
}
function point(i) { if (i !== lit) { lit = i; mark(); } }
function hold(i) { held = i; lit = i; mark(); if (i !== null) list.querySelector(`#row-${i}`)?.scrollIntoView({ block: 'nearest' }); }

function handles() {
  for (const node of svg.querySelectorAll('.handle')) node.remove();
  if (held === null || !now.answer) return;
  const [x1, y1, x2, y2] = now.boxes[held].box, radius = 6 / (fit * zoom);
  for (const [name, x, y] of [['nw', x1, y1], ['ne', x2, y1], ['se', x2, y2], ['sw', x1, y2]]) {
    const node = shape('circle', { class: 'handle', cx: x, cy: y, r: radius, 'data-corner': name, 'aria-hidden': 'true' });
    node.style.cursor = name === 'nw' || name === 'se' ? 'nwse-resize' : 'nesw-resize';
    svg.append(node);
  }
}

// ---- with a mouse, a pen or a finger

const at = (event) => {
  const box = svg.getBoundingClientRect(), { width, height } = now.picture;
  const x = ((event.clientX - box.left) / box.width) * width, y = ((event.clientY - box.top) / box.height) * height;
  return [Math.min(width, Math.max(0, x)), Math.min(height, Math.max(0, y))];
};
// All boxes under a point, the smallest first: pressing again goes on to the next
const under = ([x, y]) => now.boxes.map((b, i) => [i, b.box]).filter(([, b]) => b[0] <= x && x <= b[2] && b[1] <= y && y <= b[3])
  .sort((a, b) => area(now.boxes[a[0]]) - area(now.boxes[b[0]])).map(([i]) => i);
let drag = null;
const fingers = new Map();

svg.addEventListener('pointerover', (event) => { if (!drag && event.target.classList?.contains('box')) point(Number(event.target.dataset.i)); });
svg.addEventListener('pointerout', () => { if (!drag) point(null); });
svg.addEventListener('pointerdown', (event) => {
  if (!now.picture || event.button > 0) return;
  svg.focus({ preventScroll: true });
  fingers.set(event.pointerId, event);
  if (fingers.size === 2) { drag = null; svg.querySelector('.drawn')?.remove(); return; }
  const corner = event.target.dataset?.corner;
  const kind = corner ? 'resize' : event.pointerType === 'touch' && !drawing ? (zoom > 1 ? 'pan' : 'press') : event.shiftKey && zoom > 1 ? 'pan' : 'draw';
  drag = { kind, corner, index: held, whole: corner ? now.boxes[held].box : null, from: at(event), x: event.clientX, y: event.clientY, left, top: top_, far: false };
  if (kind !== 'press') svg.setPointerCapture(event.pointerId);
});
svg.addEventListener('pointermove', (event) => {
  const earlier = fingers.get(event.pointerId);
  if (earlier && fingers.size === 2) {
    const [a, b] = [...fingers.values()], gap = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    fingers.set(event.pointerId, event);
    const [c, d] = [...fingers.values()];
    view.classList.add('held');
    zoomAt((c.clientX + d.clientX) / 2, (c.clientY + d.clientY) / 2, Math.hypot(c.clientX - d.clientX, c.clientY - d.clientY) / (gap || 1));
    return;
  }
  if (earlier) fingers.set(event.pointerId, event);
  if (!drag) return;
  drag.far ||= Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 5;
  if (!drag.far) return;
  if (drag.kind === 'pan') { left = drag.left + event.clientX - drag.x; top_ = drag.top + event.clientY - drag.y; place(); }
  if (drag.kind === 'draw' || drag.kind === 'resize') {
    const [x, y] = at(event), [u, v] = drag.kind === 'draw' ? drag.from : opposite(drag.whole, drag.corner);
    drag.box = [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)];
    svg.querySelector('.drawn')?.remove();
    svg.append(rect(drag.box, { class: 'drawn', 'aria-hidden': 'true' }));
  }
});
function opposite([x1, y1, x2, y2], corner) {
  return { nw: [x2, y2], ne: [x1, y2], se: [x1, y1], sw: [x2, y1] }[corner];
}
function release(event) {
  fingers.delete(event.pointerId);
  const done = drag;
  drag = null;
  if (!done || event.type === 'pointercancel') { svg.querySelector('.drawn')?.remove(); return; }
  if (!done.far) {
    closeMenu();
    const found = under(at(event));
    hold(found.length ? found[(found.indexOf(held) + 1) % found.length] : null);
  } else if (done.box && done.box[2] - done.box[0] >= 2 && done.box[3] - done.box[1] >= 2) {
    if (done.kind === 'resize') edit('move_box', { index: done.index, box: done.box });
    else openMenu(done.box);
  } else svg.querySelector('.drawn')?.remove();
}
svg.addEventListener('pointerup', release);
svg.addEventListener('pointercancel', release);
view.addEventListener('wheel', (event) => {
  if (!event.ctrlKey && !wheel && zoom === 1) return;  // the page scrolls, until the picture has been pressed
  event.preventDefault();
  zoomAt(event.clientX, event.clientY, Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)));
}, { passive: false });
svg.addEventListener('focus', () => { wheel = true; });
svg.addEventListener('blur', () => { wheel = false; });
list.addEventListener('pointerover', (event) => { const row = event.target.closest('.row'); if (row) point(Number(row.dataset.i)); });
list.addEventListener('pointerleave', () => point(null));
list.addEventListener('click', (event) => { const row = event.target.closest('.row'); if (row) { const i = Number(row.dataset.i); hold(i === held ? null : i); } });

function openMenu(box) {
  drawn = box;
  drawing = false;
  $('.draw').setAttribute('aria-pressed', 'false');
  place();
  menu.hidden = false;
  const frame = view.getBoundingClientRect(), scale = fit * zoom;
  menu.style.left = `${Math.max(4, Math.min(left + box[0] * scale, frame.width - 300))}px`;
  menu.style.top = `${Math.max(4, Math.min(top_ + box[3] * scale + 6, frame.height - 110))}px`;
  menu.querySelector('.name').value = '';
  menu.querySelector('.name').focus();
}
function closeMenu() {
  drawn = null;
  menu.hidden = true;
  svg.querySelector('.drawn')?.remove();
}
menu.addEventListener('submit', (event) => {
  event.preventDefault();
  const label = menu.querySelector('.name').value.trim();
  if (!label) { menu.querySelector('.name').focus(); return; }
  edit('add_box', { box: drawn, label });
});
$('.true').addEventListener('click', () => edit('true_box', { box: drawn }));
$('.close').addEventListener('click', () => { closeMenu(); svg.focus(); });
$('.draw').addEventListener('click', () => { drawing = !drawing; $('.draw').setAttribute('aria-pressed', String(drawing)); place(); });
$('.fit').addEventListener('click', look);
$('.take').addEventListener('click', () => { if (held !== null) edit('take_box', { index: held }); });
$('.meant').addEventListener('click', () => { if (held !== null) edit('true_box', { box: now.boxes[held].box }); });
$('.undo').addEventListener('click', () => back());
function back() {
  const last = past.at(-1);
  if (!last) return;
  ask('open', { kept: last });
  going_back = true;
}

// ---- with the keyboard

function walk(event) {
  const all = order();
  if (event.key in STEPS && all.length) {
    event.preventDefault();
    const place = all.indexOf(lit ?? held);
    point(all[place < 0 ? 0 : (place + STEPS[event.key] + all.length) % all.length]);
    list.querySelector(`#row-${lit}`)?.scrollIntoView({ block: 'nearest' });
  } else if ((event.key === 'Enter' || event.key === ' ') && lit !== null) { event.preventDefault(); hold(lit === held ? null : lit); }
  else if ((event.key === 'Delete' || event.key === 'Backspace') && (held ?? lit) !== null && now.answer) { event.preventDefault(); edit('take_box', { index: held ?? lit }); }
  else if (event.key === 'Escape') { closeMenu(); hold(null); look(); }
  else if ((event.key === '+' || event.key === '-') && now.picture) {
    event.preventDefault();
    const box = view.getBoundingClientRect();
    zoomAt(box.left + box.width / 2, box.top + box.height / 2, event.key === '+' ? 1.4 : 1 / 1.4);
  }
}
svg.addEventListener('keydown', walk);
list.addEventListener('keydown', walk);
svg.addEventListener('blur', () => point(null));
list.addEventListener('blur', () => point(null));
menu.addEventListener('keydown', (event) => { if (event.key === 'Escape') { closeMenu(); svg.focus(); } });

// ---- words and pictures

$('.ask').addEventListener('submit', (event) => {
  event.preventDefault();
  if (uploading || brought) asked_meanwhile = true;  // it is the picture on its way that is asked about
  else ask('ask', { words: words.value });
});
words.addEventListener('keydown', (event) => { if (event.key === 'Enter' && !event.isComposing) { event.preventDefault(); $('.ask').requestSubmit(); } });
$('.again').addEventListener('click', () => ask('again', { words: words.value }));
words.addEventListener('input', () => {
  unsent = true;
  if (now.session && WHOLE.includes(asked_for) && asked_for !== 'upload' && !uploading) stop();
  buttons();
});
function stop() {
  if (!running) return;
  number += 1;
  trigger('halt', { number });
  uploading = asked_meanwhile = false;
  brought = null;
  waiting = [];
  const before = shown_before;  // an answer that a question about the same picture was to replace stays
  if (now.busy && before && before.picture.file.url === now.picture.file.url) { shown_before = null; show({ ...before, number: null, halted: true }, true); }
  else if (now.busy) show({ ...now, busy: '', boxes: [], halted: true, words: words.value.trim() });
  else said();
  idle();
}
$('.stop').addEventListener('click', stop);
$('.scene').addEventListener('click', () => ask('scene'));

async function bring(file) {
  if (!file) return;
  if (now.session === undefined) { brought = file; return; }
  if (running) stop();
  const mine = (number += 1);
  running = uploading = true;
  problem('');
  buttons();
  $('.said').replaceChildren(make('p', { class: 'busy' }, 'Uploading the picture …'));
  try {
    const { path } = await upload(file);
    if (mine !== number) return;
    const asked = asked_meanwhile;
    ask('upload', { path, words: words.value });
    if (asked) waiting.push({ event: 'ask', data: { words: words.value }, of: null });
  } catch {
    if (mine !== number) return;
    uploading = asked_meanwhile = false;
    idle();
    said();
    problem('The picture did not arrive. It may be larger than 60 MB, or the connection was cut; try again.');
  }
}
$('.upload').addEventListener('click', () => $('.file').click());
$('.file').addEventListener('change', (event) => { const files = [...event.target.files]; event.target.value = ''; take(files); });
// A picture; or a trace that was downloaded, with its picture or for the one that is here
async function take(files) {
  const trace = files.find((f) => f.name.toLowerCase().endsWith('.json')), shown = files.find((f) => f !== trace);
  if (!trace) { bring(shown); return; }
  try {
    if (trace.size > 3e5) throw new Error();
    const written = JSON.parse(await trace.text()), path = shown ? (await upload(shown)).path : '';
    ask('replay', { trace: written, path });
  } catch { problem('This is no trace of an answer. Choose a trace.json, together with its picture where that is not the one shown.'); }
}
const here_now = () => element.getClientRects().length > 0;  // not in another tab of the page
document.addEventListener('dragover', (event) => { if (here_now()) { event.preventDefault(); view.classList.add('over'); } });
document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) view.classList.remove('over'); });
document.addEventListener('drop', (event) => {
  if (!here_now()) return;
  event.preventDefault();
  view.classList.remove('over');
  take([...event.dataTransfer.files]);
});
document.addEventListener('paste', (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((f) => f.type.startsWith('image/'));
  if (file && here_now()) bring(file);
});

let here = 0;
for (const [place, example] of props.examples.entries()) {
  const node = make('div', { class: 'thumb', role: 'option', id: `thumb-${place}`, 'aria-label': example.says, title: example.says, 'aria-selected': 'false' });
  node.style.backgroundImage = `url("${example.small}")`;
  node.addEventListener('click', () => { here = place; ask('example', { example: example.number }); });
  thumbs.append(node);
}
function choose() {
  for (const [place, node] of [...thumbs.children].entries()) {
    node.setAttribute('aria-selected', String(props.examples[place].number === now.example));
    node.classList.toggle('here', place === here);
  }
  if (thumbs.children.length) thumbs.setAttribute('aria-activedescendant', `thumb-${here}`);
}
thumbs.addEventListener('keydown', (event) => {
  if (event.key in STEPS && thumbs.children.length) {
    event.preventDefault();
    here = (here + STEPS[event.key] + thumbs.children.length) % thumbs.children.length;
    choose();
    thumbs.children[here].scrollIntoView({ block: 'nearest', inline: 'nearest' });
  } else if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); thumbs.children[here]?.click(); }
});

// ---- what can be taken away

$('.shuffle').addEventListener('click', () => { ask('shuffle'); $('.shuffled').textContent = 'Asking in ten other orders …'; });
$('.copy').addEventListener('click', () => { navigator.clipboard?.writeText(now.answer.prompt); $('.copy').textContent = 'Copied'; });
$('.link').addEventListener('click', () => {
  const address = $('.address');
  address.value = `${location.origin}${location.pathname}?answer=${now.session}`;
  address.hidden = false;
  address.select();
  navigator.clipboard?.writeText(address.value);
});
for (const button of element.querySelectorAll('[data-file]')) {
  button.addEventListener('click', async () => {
    const found = await server.download({ session: now.session, kind: button.dataset.file });
    if (found.error) { problem(found.error); return; }
    const link = make('a', { href: now.picture.file.url.split('/file=')[0] + '/file=' + found.path, download: found.name });
    document.body.append(link);
    link.click();
    link.remove();
  });
}

// A link's answer comes before what this tab of the browser showed last, and that before the first example
choose();
ask('open', { kept: kept() });
