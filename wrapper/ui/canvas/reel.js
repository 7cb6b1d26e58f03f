// Answers of a measured run, one at a time.
let number = 0, now = {}, running = false;

watch('value', () => {
  const value = JSON.parse(JSON.stringify(props.value ?? null));
  if (!value || (value.number !== null && value.number !== number)) return;
  running = false;
  if (value.error) { $('.said').textContent = value.error; return; }
  now = value;
  show();
});

function options(select, found, chosen) {
  select.replaceChildren(...found.map(([value, text]) => make('option', { value }, text)));
  select.value = chosen;
}
function show() {
  const entry = now.entry, empty = !now.methods?.length;
  $('.bar').hidden = empty;
  $('.frame').hidden = !entry;
  $('.said').textContent = empty ? 'The wrong answers stand here once something is measured.' : now.said;
  if (empty) return;
  options($('.method'), now.methods, now.method);
  options($('.other'), now.methods, now.other);
  $('.order').value = now.order;
  $('.there').hidden = !['better', 'worse'].includes(now.order);
  if (!entry) return;
  $('.words').textContent = `“${entry.words}”`;
  $('.shot img').src = entry.picture.file.url;
  $('.shot img').alt = `${entry.said}`;
  $('.shot').style.width = `min(100%, ${((60 * entry.picture.width) / entry.picture.height).toFixed(1)}vh)`;
  overlay($('.shot svg'), entry, entry.picture, entry.truth);
  const said = make('span', { class: entry.mark }, { right: '✓ right', wrong: '✗ wrong' }[entry.mark]);
  $('.caption').replaceChildren(said, `: ${entry.said}${entry.sure ? `, ${entry.sure}` : ''}. ${entry.why}`);
  $('.place').textContent = `${now.place + 1} of ${now.total}`;
}
function look(place, event = 'look') {
  if (running && event === 'look') return;  // a key that is held down steps as fast as pictures come
  running = true;
  number += 1;
  trigger(event, { number, place, method: $('.method').value, other: $('.other').value, order: $('.order').value });
}
const step = (by) => { if (now.total) look((now.place + by + now.total) % now.total); };
for (const name of ['.method', '.other', '.order']) $(name).addEventListener('change', () => { running = false; look(0); });
$('.before').addEventListener('click', () => step(-1));
$('.after').addEventListener('click', () => step(1));
$('.open').addEventListener('click', () => trigger('locate', { number, place: now.place, method: now.method, other: now.other, order: now.order }));
$('.frame').addEventListener('keydown', (event) => {
  if (event.target !== $('.frame')) return;
  if (event.key === 'ArrowRight' || event.key === 'ArrowLeft') { event.preventDefault(); step(event.key === 'ArrowRight' ? 1 : -1); }
  if (event.key === 'Enter') { event.preventDefault(); $('.open').click(); }
});
show();
