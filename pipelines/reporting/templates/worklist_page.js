// Paper, the filters' choices, and the start of everything.
// Printing needs every chosen row in the document, not only those in view.
function paperRow(film, pictures) {
  const url = pictures ? pictureUrl(film, "film") : null;
  const image = url ? make("img", { src: url, alt: "" }) : "";
  const texts = [isScored(film) ? whole(film + 1) : UNKNOWN, image, make("bdi", {}, filmName(film)), className(filmClass(film))];
  const numbers = findings.map((_, finding) => [decimal(films.p[finding][film], 3), flagText(film, finding)].join(" "));
  texts.push(decimal(films.score[film], 1), ...numbers, remarksText(film), statusText(film));
  return make("tr", {}, ...texts.map((text) => make("td", {}, text)));
}

const MOST_PRINTED_PICTURES = 300;

function fillPaper() {
  if (element("film").open) return [];
  const chosen = chosenFilms();
  const pictures = anyPicture && chosen.length <= MOST_PRINTED_PICTURES;
  const head = make("tr", {}, ...COLUMNS.slice(1).map((column) => make("th", {}, column.label)));
  const body = make("tbody", {});
  for (const film of chosen) body.append(paperRow(film, pictures));
  const caption = make("caption", {}, word("showing", { n: chosen.length, films: total }));
  element("paper").replaceChildren(make("table", {}, caption, make("thead", {}, head), body));
  return [...element("paper").querySelectorAll("img")];
}

async function printChosen() {
  const images = fillPaper();
  await Promise.allSettled(images.map((image) => image.decode()));
  window.print();
}

function fillSelect(id, entries) {
  const options = entries.map(([value, text, n]) => make("option", { value }, n === undefined ? text : `${text} (${whole(n)})`));
  element(id).replaceChildren(make("option", { value: "" }, word("any")), ...options);
}

function countBy(value) {
  const counts = new Map();
  for (let film = 0; film < total; film += 1) {
    const key = value(film);
    counts.set(key, (counts.get(key) || 0) + 1);
  }
  return counts;
}

function fillFilters() {
  const classes = countBy(filmClass);
  const statuses = countBy(filmStatus);
  const reasons = countBy((film) => (isScored(film) ? -1 : films.reason[film]));
  reasons.delete(-1);
  const flags = findings.map((_, finding) => countBy((film) => flagOf(film, finding)).get(2) || 0);
  const present = ["urgent", "routine", "likely_normal", "none", "unscored"].filter((name) => classes.has(name));
  fillSelect("by-class", present.map((name) => [name, className(name), classes.get(name)]));
  fillSelect("by-status", STATUSES.filter((name) => statuses.has(name)).map((name) => [name, word(`status_${name}`), statuses.get(name)]));
  const flagged = findings.map((finding, number) => [number, word("flagged", { finding: finding.name }), flags[number]]);
  fillSelect("by-finding", [...flagged, ["none", word("none_flagged")]]);
  const listed = [...reasons].sort((a, b) => b[1] - a[1]);
  fillSelect("by-reason", listed.map(([number, n]) => [number, reasonText(films.reasons[number]), n]));
}

function readFilters() {
  filters.find = element("find").value.trim().toLowerCase();
  for (const name of ["class", "finding", "status", "reason"]) filters[name] = element(`by-${name}`).value;
  refresh();
}

function listen() {
  element("filters").addEventListener("input", readFilters);
  element("filters").addEventListener("submit", (event) => event.preventDefault());
  element("filters").addEventListener("reset", () => setTimeout(readFilters));
  element("untick").addEventListener("click", () => {
    ticked.clear();
    showCounts();
    redraw();
  });
  element("print").addEventListener("click", printChosen);
  window.addEventListener("beforeprint", () => {
    if (!element("paper").firstChild) fillPaper();
  });
  window.addEventListener("afterprint", () => element("paper").replaceChildren());
  element("rows").addEventListener("keydown", onRowKey);
  element("rows").addEventListener("click", onRowClick);
  element("film").addEventListener("keydown", onFilmKey);
  element("film").addEventListener("close", onFilmClosed);
  const unscored = element("show-unscored");
  if (unscored) {
    unscored.hidden = false;
    unscored.addEventListener("click", () => {
      element("filters").reset();
      element("by-class").value = "unscored";
      readFilters();
      element("list").scrollIntoView();
    });
  }
  let waiting = false;
  const later = (work) => () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      work();
    });
  };
  window.addEventListener("scroll", later(draw), { passive: true });
  window.addEventListener("resize", later(measure));
}

const anyPicture = Boolean(films && films.picture.some(Boolean));

function start() {
  if (!data) {
    element("damaged").hidden = false;
    return;
  }
  element("app").hidden = false;
  buildHead();
  fillFilters();
  listen();
  setHeights(element("probe").getBoundingClientRect().height);
  readFilters();
}

start();
