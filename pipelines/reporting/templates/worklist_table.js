// The table: only the rows in view, and a little above and below, are in the document.
const MARGIN = 8;
const built = new Map(); // place in the list -> row in the document
let rowHeight = 0;
let groupHeight = 0;
let current = 0; // place of the row that the keyboard is on
let unscoredPlace = -1; // place of the heading over the films without a score
let groups = { scored: 0, unscored: 0 };

// An element with attributes and children. Texts become text nodes: nothing of a file is ever read as HTML.
function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== false) node.setAttribute(name, String(value));
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const cell = (name, ...children) => make("div", { role: "cell", class: `cell ${name}` }, ...children);

function badge(film) {
  const name = filmClass(film);
  return make("span", { class: `badge-class ${name}` }, className(name));
}

// A bar from 0 to `most` with a mark at the threshold; it repeats a number that stands beside it.
function bar(value, most, threshold = null) {
  if (value === null) return "";
  const fill = make("span", { class: "fill" });
  fill.style.width = `${Math.max(0, Math.min(100, (100 * value) / most))}%`;
  const node = make("span", { class: "bar", "aria-hidden": "true" }, fill);
  if (threshold !== null) {
    const mark = make("span", { class: "mark" });
    mark.style.left = `${(100 * threshold) / most}%`;
    node.append(mark);
  }
  return node;
}

function flagText(film, finding) {
  if (!isScored(film) || films.p[finding][film] === null) return "";
  return [word("no_threshold"), word("no_flag"), word("flag")][flagOf(film, finding)];
}

function findingCell(film, number) {
  const finding = findings[number];
  const flag = flagOf(film, number);
  const p = films.p[number][film];
  return cell(
    `p${flag === 2 ? " flagged" : ""}`,
    make("span", { class: "label" }, finding.name),
    make("span", { class: "number" }, decimal(p, 3)),
    make("span", { class: "flag" }, flagText(film, number)),
    bar(p, 1, finding.threshold),
  );
}

function thumbnail(film) {
  const url = pictureUrl(film, "film");
  if (!url) return make("span", { class: "no-picture" }, anyPicture ? word("no_picture") : UNKNOWN);
  const node = make("img", { src: url, alt: "", loading: "lazy", decoding: "async" });
  node.addEventListener("error", () => node.replaceWith(make("span", { class: "no-picture" }, word("no_picture"))));
  return node;
}

function tickBox(film) {
  const box = make("input", { type: "checkbox", tabindex: "-1", "aria-label": word("tick_film", { film: filmName(film) }) });
  box.checked = ticked.has(film);
  box.addEventListener("change", () => {
    if (box.checked) ticked.add(film);
    else ticked.delete(film);
    showCounts();
  });
  return cell("tick", make("label", {}, box));
}

function filmCells(film) {
  const button = make("button", { type: "button", class: "open", tabindex: "-1", "aria-haspopup": "dialog" }, filmName(film));
  button.title = filmName(film);
  return [
    tickBox(film),
    cell("rank", isScored(film) ? whole(film + 1) : UNKNOWN),
    cell("picture", thumbnail(film)),
    cell("id", make("bdi", {}, button)),
    cell("class", badge(film)),
    cell(
      "score",
      make("span", { class: "label" }, word("column_score")),
      make("span", { class: "number" }, decimal(films.score[film], 1)),
      bar(films.score[film], 100),
    ),
    ...findings.map((_, finding) => findingCell(film, finding)),
    cell("remarks", remarksText(film)),
    cell("status", make("bdi", {}, statusText(film))),
  ];
}

function buildRow(place) {
  const film = list[place];
  let row;
  if (film < 0) {
    const unscored = film === UNSCORED_GROUP;
    const text = word(unscored ? "not_scored_group" : "scored_group", { n: unscored ? groups.unscored : groups.scored });
    row = make("div", { class: `row group${unscored ? " unscored" : ""}` }, make("div", { role: "cell", class: "cell", "aria-colspan": COLUMNS.length }, text));
  } else {
    row = make("div", { class: `row film ${filmClass(film)}` }, ...filmCells(film));
  }
  row.setAttribute("role", "row");
  row.setAttribute("aria-rowindex", String(place + 2));
  row.style.transform = `translateY(${topOf(place)}px)`;
  row.dataset.place = String(place);
  return row;
}

// Where a row begins, in pixels from the first one's top; the headings of the two groups are lower than films.
function topOf(place) {
  const headings = Number(place > 0 && list[0] < 0) + Number(unscoredPlace > 0 && place > unscoredPlace);
  return place * rowHeight - headings * (rowHeight - groupHeight);
}

// Build the rows in view and take away the others; document order stays the order of the list.
function draw() {
  const top = -element("rows").getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(top / rowHeight) - MARGIN);
  const last = Math.min(list.length, Math.ceil((top + window.innerHeight) / rowHeight) + MARGIN + 2);
  for (const [place, row] of built) {
    // The row with the keyboard's focus stays, wherever it is: taking it away would lose the focus.
    if ((place < first || place >= last) && !row.contains(document.activeElement)) {
      row.remove();
      built.delete(place);
    }
  }
  const rows = element("rows");
  let before = rows.firstChild;
  for (let place = first; place < last; place += 1) {
    while (before && Number(before.dataset.place) < place) before = before.nextSibling;
    if (built.has(place)) continue;
    const row = buildRow(place);
    built.set(place, row);
    rows.insertBefore(row, before);
  }
  setTabStop(first, last);
}

// One row is reached with the Tab key, the others from there with the arrows.
function setTabStop(first, last) {
  const inView = current >= first && current < last && list[current] >= 0;
  const stop = inView ? current : [...built.keys()].sort((a, b) => a - b).find((place) => place >= first + MARGIN && list[place] >= 0);
  for (const [place, row] of built) {
    for (const control of row.querySelectorAll("button, input")) control.tabIndex = place === stop ? 0 : -1;
  }
}

function redraw() {
  for (const row of built.values()) row.remove();
  built.clear();
  element("rows").style.height = `${topOf(list.length)}px`;
  draw();
}

// Filter and sort anew, and start at the top of the list.
function refresh() {
  groups = arrange();
  unscoredPlace = list.indexOf(UNSCORED_GROUP);
  current = list.findIndex((film) => film >= 0);
  element("list").setAttribute("aria-rowcount", String(list.length + 1));
  element("nothing").hidden = list.length > 0;
  showCounts();
  redraw();
  const top = element("list").getBoundingClientRect().top;
  if (top < 0) window.scrollBy(0, top);
}

function showCounts() {
  element("count").textContent = word("showing", { n: groups.scored + groups.unscored, films: total });
  element("ticked").textContent = ticked.size ? word("ticked", { n: ticked.size }) : "";
  element("untick").hidden = !ticked.size;
  const chosen = ticked.size ? chosenFilms().length : groups.scored + groups.unscored;
  element("print").textContent = `${word("print")}: ${word("print_films", { n: chosen })}`;
  element("print").disabled = !chosen;
}

function thresholdText(finding) {
  if (finding.threshold === null) return word("no_threshold");
  return word("threshold_at", { threshold: decimal(finding.threshold, 3) });
}

function buildHead() {
  const cells = COLUMNS.map((column, number) => {
    const head = make("div", { role: "columnheader", class: `cell ${column.name}` });
    if (!column.key) {
      head.append(column.label);
      return head;
    }
    const button = make("button", { type: "button", title: word("sort_by", { column: column.label }) }, column.label);
    button.addEventListener("click", () => {
      const again = sorting.column === number;
      sorting.direction = again ? -sorting.direction : column.first;
      sorting.column = number;
      showSorting();
      refresh();
    });
    head.append(button);
    if (column.name === "p") head.append(make("span", { class: "threshold" }, thresholdText(findings[column.finding])));
    return head;
  });
  element("head").append(make("div", { role: "row", class: "row head", "aria-rowindex": 1 }, ...cells));
  showSorting();
}

function showSorting() {
  [...element("head").firstChild.children].forEach((head, number) => {
    if (number !== sorting.column) head.removeAttribute("aria-sort");
    else head.setAttribute("aria-sort", sorting.direction > 0 ? "ascending" : "descending");
  });
}

// Put the keyboard on a row, scrolling it into view first.
function goTo(place, step) {
  let wanted = Math.max(0, Math.min(list.length - 1, place));
  if (list[wanted] < 0) wanted += step;
  if (wanted < 0 || wanted >= list.length || list[wanted] < 0) return;
  current = wanted;
  scrollToRow(wanted);
  draw();
  built.get(wanted).querySelector("button.open").focus({ preventScroll: true });
  draw();
}

function scrollToRow(place) {
  const top = element("rows").getBoundingClientRect().top + topOf(place);
  const head = element("head").getBoundingClientRect();
  const sticky = getComputedStyle(element("head")).position === "sticky" ? head.height : 0;
  if (top < sticky) window.scrollBy(0, top - sticky);
  else if (top + rowHeight > window.innerHeight) window.scrollBy(0, top + rowHeight - window.innerHeight);
}

function onRowKey(event) {
  const row = event.target.closest(".row");
  if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
  const page = Math.max(1, Math.floor(window.innerHeight / rowHeight) - 2);
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -list.length, End: list.length };
  if (!(event.key in steps)) return;
  event.preventDefault();
  const step = steps[event.key];
  // Past either end, and on a heading, the nearest film towards the list's middle.
  const towards = event.key === "Home" ? 1 : event.key === "End" ? -1 : Math.sign(step);
  goTo(Number(row.dataset.place) + step, towards);
}

function onRowClick(event) {
  const row = event.target.closest(".row.film");
  if (!row || event.target.closest(".cell.tick")) return;
  current = Number(row.dataset.place);
  openFilm(current);
}

function setHeights(height) {
  rowHeight = height;
  groupHeight = element("probe-group").getBoundingClientRect().height;
}

function measure() {
  const height = element("probe").getBoundingClientRect().height;
  if (height > 0 && height !== rowHeight) {
    setHeights(height);
    redraw();
  } else draw();
}
