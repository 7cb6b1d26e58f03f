// Many pictures: bring them, look at each answer, take the labels away.
const KEPT = 'llm-wrapper-folder';
// Of the last thing that was done, of the last look or decision, of the last run, and of one that was cancelled
let number = 0, looked = 0, asking = 0, halted = 0;
let now = {}, chosen = [], running = false, uploads = 0, waiting = 0, pick = null, drawn = null, drag = null, served = '';
const svg = $('.shot svg');
const kept = (value) => {  // a browser may refuse to remember anything
  try {
    if (value === undefined) return sessionStorage.getItem(KEPT) ?? '';
    sessionStorage.setItem(KEPT, value);
  } catch { return ''; }
  return value;
};

watch('value', () => {
  const value = JSON.parse(JSON.stringify(props.value ?? null));
  if (!value) return;
  if (value.run ? value.number !== asking : value.number !== null && value.number !== looked) return;  // something else was asked for since
  if (!value.run) waiting = 0;
  if (value.error) {
    problem(value.error);
    if (value.run || value.number === null) running = false;
    if (now.session && !now.total) { now = {}; kept(''); }  // what was here before is not kept any longer
    show();
    return;
  }
  if (value.session !== now.session) now = {};
  else if (value.run && value.number < looked) { delete value.entry; delete value.place; }  // another answer is being looked at
  if (value.run) running = value.busy && value.number !== halted;
  now = { ...now, ...value };
  kept(now.session);
  if (value.entry) begin(value.entry);
  show();
  if (value.more && running) run({ session: now.session });
});

function begin(entry) {  // with its answer, or with what was decided
  pick = entry.checked || !entry.found ? null : entry.pick;
  drawn = entry.checked ? entry.truth : null;
}
function problem(text) { $('.trouble').textContent = text; }
function show() {
  const total = now.total ?? 0, left = total - (now.answered ?? 0);
  $('.go').hidden = running;
  $('.stop').hidden = !running;
  $('.on').hidden = running || !(left || now.failed);
  $('progress').hidden = !running;
  $('progress').value = total ? now.answered / total : 0;
  $('.far').textContent = total ? `${now.answered} of ${total} answered, ${now.checked} approved${now.failed ? `, ${now.failed} could not be answered` : ''}` : '';
  $('.take').hidden = !now.answered;
  const entry = now.entry;
  $('.frame').hidden = !entry;
  if (entry) look(entry);
}
function look(entry) {
  $('.words-of').textContent = `“${entry.words}” in ${entry.name}`;
  const image = $('.shot img');
  $('.shot').hidden = !entry.picture;
  if (!entry.picture) entry = { ...entry, picture: { file: { url: image.src }, width: 1, height: 1 } };
  else served = entry.picture.file.url.split('/file=')[0];
  if (!image.src.endsWith(entry.picture.file.url)) image.src = entry.picture.file.url;
  image.alt = entry.said;
  $('.shot').style.width = `min(100%, ${((52 * entry.picture.width) / entry.picture.height).toFixed(1)}vh)`;
  overlay(svg, { ...entry, pick: pick ?? entry.pick, found: pick !== null }, entry.picture, drawn);
  const said = entry.checked ? (entry.truth ? 'Approved' : 'Approved: nothing there') : entry.said;
  $('.caption').textContent = `${said}${entry.sure && !entry.checked ? `, ${entry.sure}` : ''}. ${entry.why}`;
  $('.boxes').replaceChildren(...entry.boxes.map((b, i) => {
    const button = make('button', { type: 'button', 'aria-pressed': String(i === pick && !drawn) });
    const chip = make('span', { class: 'chip' }, i);
    chip.style.setProperty('--c', b.color);
    chip.style.setProperty('--on', on(b.color));
    button.append(chip, make('span', {}, b.label), make('span', { class: 'share' }, b.share === null ? '' : percent(b.share)));
    button.addEventListener('click', () => choose(i));
    const row = make('li');
    row.append(button);
    return row;
  }));
  $('.approve').disabled = entry.failed && !drawn;
  $('.approve').firstChild.textContent = pick === null && !drawn ? 'Nothing there, next ' : 'Approve, next ';
  $('.place').textContent = `${now.place + 1} of ${now.answered}`;
}
function choose(index) { pick = index; drawn = null; look(now.entry); $('.frame').focus({ preventScroll: true }); }
function send(event, data = {}) {
  number += 1;
  if (event !== 'halt') { looked = number; waiting = performance.now(); }
  problem('');
  trigger(event, { number, session: now.session ?? '', ...data });
}
function run(data) {
  number += 1;
  asking = number;
  running = true;
  trigger('run', { number, ...data });
  show();
}
function approve(nothing = false) {
  const entry = now.entry;
  if (!entry || (waiting && performance.now() - waiting < 3000)) return;  // one decision at a time; a reply that was lost is not waited for
  if (drawn && !nothing) send('decide', { item: entry.item, what: 'box', box: drawn });
  else if (pick !== null && !nothing) send('decide', { item: entry.item, what: 'candidate', index: pick });
  else if (nothing || !entry.failed) send('decide', { item: entry.item, what: 'nothing' });
  $('.frame').focus({ preventScroll: true });
}
const step = (by) => { if (now.answered) send('look', { place: (now.place + by + now.answered) % now.answered }); };
$('.approve').addEventListener('click', () => approve());
$('.nothing').addEventListener('click', () => approve(true));
$('.before').addEventListener('click', () => step(-1));
$('.after').addEventListener('click', () => step(1));
$('.frame').addEventListener('keydown', (event) => {
  if (event.target.tagName === 'BUTTON' && (event.key === 'Enter' || event.key === ' ')) return;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Enter') { event.preventDefault(); approve(); }
  else if (event.key === 'n' || event.key === 'N') { event.preventDefault(); approve(true); }
  else if (event.key === 'ArrowRight' || event.key === 'ArrowLeft') { event.preventDefault(); step(event.key === 'ArrowRight' ? 1 : -1); }
  else if (event.key === 'Escape') { begin(now.entry); look(now.entry); }
  else if (/^\d$/.test(event.key) && Number(event.key) < now.entry.boxes.length) choose(Number(event.key));
});

// ---- a box is drawn, or one is pressed

const at = (event) => {
  const place = svg.getBoundingClientRect(), { width, height } = now.entry.picture;
  const inside = (v, most) => Math.min(Math.max(v, 0), most);
  return [inside(((event.clientX - place.left) / place.width) * width, width), inside(((event.clientY - place.top) / place.height) * height, height)];
};
$('.shot').addEventListener('pointerdown', (event) => {
  if (!now.entry?.picture || event.button) return;
  event.preventDefault();
  $('.frame').focus({ preventScroll: true });
  $('.shot').setPointerCapture(event.pointerId);
  drag = { from: at(event), x: event.clientX, y: event.clientY };
});
$('.shot').addEventListener('pointermove', (event) => {
  if (!drag || Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < 6) return;
  const [x, y] = at(event), [u, v] = drag.from;
  drag.box = [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)];
  svg.querySelector('.drawn')?.remove();
  svg.append(rect(drag.box, { class: 'drawn' }));
});
$('.shot').addEventListener('pointerup', (event) => {
  const done = drag;
  drag = null;
  if (!done) return;
  if (done.box) { drawn = done.box; pick = null; look(now.entry); return; }
  const [x, y] = at(event);
  const under = now.entry.boxes.map((b, i) => [i, b.box]).filter(([, [x1, y1, x2, y2]]) => x >= x1 && x <= x2 && y >= y1 && y <= y2);
  const area = ([, [x1, y1, x2, y2]]) => (x2 - x1) * (y2 - y1);
  if (under.length) choose(under.sort((a, b) => area(a) - area(b))[0][0]);
});
$('.shot').addEventListener('pointercancel', () => { drag = null; svg.querySelector('.drawn')?.remove(); });

// ---- pictures are brought

function take(files) {
  chosen = files.filter((f) => f.type.startsWith('image/'));
  $('.chosen').textContent = chosen.length ? `${chosen.length} ${chosen.length === 1 ? 'picture' : 'pictures'} chosen` : 'None of these files is a picture.';
}
$('.choose').addEventListener('click', () => $('.files').click());
$('.files').addEventListener('change', (event) => { const files = [...event.target.files]; event.target.value = ''; take(files); });
const here_now = () => element.getClientRects().length > 0;  // not in another tab of the page
document.addEventListener('dragover', (event) => { if (here_now()) { event.preventDefault(); $('.bring').classList.add('over'); } });
document.addEventListener('dragleave', (event) => { if (!event.relatedTarget) $('.bring').classList.remove('over'); });
document.addEventListener('drop', (event) => {
  if (!here_now()) return;
  event.preventDefault();
  $('.bring').classList.remove('over');
  take([...event.dataTransfer.files]);
});
$('.go').addEventListener('click', async () => {
  if (!chosen.length) { problem('There are no pictures. Choose some, or drop them here.'); $('.choose').focus(); return; }
  if (!$('.bring .words').value.trim()) { problem('Write what to find, such as “the red cup”.'); $('.bring .words').focus(); return; }
  const mine = (uploads += 1), paths = [], names = [];
  running = true;
  problem('');
  show();
  try {
    for (const [i, file] of chosen.entries()) {
      $('.far').textContent = `Uploading picture ${i + 1} of ${chosen.length} …`;
      paths.push((await upload(file)).path);
      names.push(file.name);
      if (mine !== uploads) return;
    }
  } catch {
    if (mine === uploads) { running = false; show(); problem('A picture did not arrive. It may be larger than 60 MB, or the connection was cut; try again.'); }
    return;
  }
  run({ session: '', paths, names, words: $('.bring .words').value });
});
$('.on').addEventListener('click', () => { problem(''); run({ session: now.session, again: 'failed' }); });
$('.stop').addEventListener('click', () => { uploads += 1; halted = asking; running = false; send('halt'); show(); });

// ---- labels are taken away

for (const button of element.querySelectorAll('[data-kind]')) {
  button.addEventListener('click', async () => {
    const found = await server.labels({ session: now.session, kind: button.dataset.kind });
    if (found.error) { problem(found.error); return; }
    problem('');
    const link = make('a', { href: `${served}/file=${found.path}`, download: found.name });
    document.body.append(link);
    link.click();
    link.remove();
  });
}
show();
if (kept()) { now = { session: kept() }; send('look', { place: 0 }); }
