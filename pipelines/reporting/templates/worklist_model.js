// What the page knows: the films column by column, and which of them are shown in which order. No document here.
const element = (id) => document.getElementById(id);
const data = readData();
const films = data ? data.films : null;
const findings = data ? data.findings : [];
const total = films ? films.id.length : 0;
const CLASSES = ["none", "urgent", "routine", "likely_normal"];
const STATUSES = ["ok", "rejected", "error"];
const UNKNOWN = "–";
// Rows of the list that are no films.
const SCORED_GROUP = -1;
const UNSCORED_GROUP = -2;

function readData() {
  try {
    return JSON.parse(element("data").textContent);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return null;
  }
}

const plurals = data ? new Intl.PluralRules(data.language) : null;
const formats = new Map();

function decimal(value, digits) {
  if (value === null || value === undefined) return UNKNOWN;
  if (!formats.has(digits)) {
    const options = { minimumFractionDigits: digits, maximumFractionDigits: digits };
    formats.set(digits, new Intl.NumberFormat(data.language, options));
  }
  return formats.get(digits).format(value);
}

const whole = (value) => decimal(value, 0);
const percent = (value) => (value === null ? UNKNOWN : `${decimal(100 * value, 1)}\u00a0%`);

// The text of a key with its gaps filled; numbers among the values are written as the language writes them.
function word(key, values = {}) {
  let text = data.words[key];
  if (Array.isArray(text)) text = text[plurals.select(values.n) === "one" ? 0 : 1];
  return text.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? whole(value) : value;
  });
}

// An id may hold anything: what a reader could not see, or what turns the direction of writing, is spelled out.
function visible(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu, (character) => {
    return `\\u{${character.codePointAt(0).toString(16)}}`;
  });
}

const filmName = (film) => visible(films.id[film]);
const isScored = (film) => film < data.scored;
const filmClass = (film) => (isScored(film) ? CLASSES[films.class[film]] : "unscored");
const filmStatus = (film) => STATUSES[films.status[film]];
const flagOf = (film, finding) => Number(films.flag[finding][film]);
const className = (name) => (name === "unscored" ? word("not_scored") : word(`class_${name}`));
const hasMap = (film, finding) => Boolean((parseInt(films.maps[film], 16) >> finding) & 1);
const reasonCode = (film) => films.reasons[films.reason[film]];

function reasonText(code) {
  if (code === "") return word("reason_none");
  return Object.hasOwn(data.words, `reason_${code}`) ? word(`reason_${code}`) : visible(code);
}

function statusText(film) {
  const status = filmStatus(film);
  if (status === "ok" && isScored(film)) return word("status_ok");
  return `${word(`status_${status}`)}: ${reasonText(reasonCode(film))}`;
}

function remarksOf(film) {
  const bits = films.remarks[film];
  if (bits < 0) return [word("remark_not_judged")];
  const turn = 90 * ((bits >> 4) & 3);
  const said = ["inverted", "cropped", "low_contrast", "colour"].filter((_, bit) => (bits >> bit) & 1);
  const texts = said.map((name) => word(`remark_${name}`));
  if (Object.hasOwn(films.duplicate, film)) texts.push(word("remark_duplicate", { film: visible(films.duplicate[film]) }));
  if (turn) texts.push(word("remark_rotated", { degrees: turn }));
  return texts;
}

const remarksText = (film) => remarksOf(film).join("; ") || word("remark_none");

// The same name that the program gives a picture: readable characters of the id, its digest, the layer.
function pictureUrl(film, layer) {
  const digest = films.picture[film];
  if (!digest) return null;
  const readable = films.id[film].replace(/[^A-Za-z0-9.-]+/g, "_").slice(-80);
  return `${data.heatmaps}/${encodeURIComponent(`${readable}-${digest}.${layer}.png`)}`;
}

// Columns in their order; `key` is null, a number or a text; `first` is the direction of the first click.
const COLUMNS = data
  ? [
      { name: "tick", label: word("column_tick") },
      { name: "rank", label: word("column_rank"), first: 1, key: (film) => film },
      { name: "picture", label: word("column_picture") },
      { name: "id", label: word("column_id"), first: 1, key: (film) => films.id[film] },
      { name: "class", label: word("column_class"), first: 1, key: classKey },
      { name: "score", label: word("column_score"), first: -1, key: (film) => films.score[film] },
      ...findings.map((finding, number) => {
        return { name: "p", finding: number, label: finding.name, first: -1, key: (film) => films.p[number][film] };
      }),
      { name: "remarks", label: word("column_remarks"), first: 1, key: (film) => remarksOf(film).join(", ") || null },
      { name: "status", label: word("column_status"), first: 1, key: statusText },
    ]
  : [];

function classKey(film) {
  const number = Number(films.class[film]);
  return isScored(film) && number > 0 ? number : null;
}

const sorting = { column: 1, direction: 1 };
const filters = { find: "", class: "", finding: "", status: "", reason: "" };
const ticked = new Set();
const collator = data ? new Intl.Collator(data.language, { numeric: true, sensitivity: "variant" }) : null;
const ranks = new Map();
let lowered = null;
let list = []; // what the table shows: films, and the groups' headings

// Rank of every film by a column, equal values alike; -1 where it has no value. Computed once for each column.
function columnRanks(column) {
  if (ranks.has(column)) return ranks.get(column);
  const keys = Array.from({ length: total }, (_, film) => COLUMNS[column].key(film));
  const known = [...keys.keys()].filter((film) => keys[film] !== null);
  const texts = known.length > 0 && typeof keys[known[0]] === "string";
  known.sort(texts ? (a, b) => collator.compare(keys[a], keys[b]) : (a, b) => keys[a] - keys[b]);
  const rank = new Int32Array(total).fill(-1);
  let current = 0;
  known.forEach((film, place) => {
    if (place > 0 && keys[film] !== keys[known[place - 1]]) current = place;
    rank[film] = current;
  });
  ranks.set(column, rank);
  return rank;
}

function passes(film) {
  if (filters.class && filmClass(film) !== filters.class) return false;
  if (filters.status && filmStatus(film) !== filters.status) return false;
  if (filters.reason && reasonCode(film) !== films.reasons[Number(filters.reason)]) return false;
  if (filters.finding === "none") {
    if (!isScored(film) || findings.some((_, finding) => flagOf(film, finding) !== 1)) return false;
  } else if (filters.finding && flagOf(film, Number(filters.finding)) !== 2) return false;
  return !filters.find || lowered[film].includes(filters.find);
}

// Films that pass the filters, sorted; those with a score and those without stay apart, whatever the column.
function arrange() {
  if (filters.find && !lowered) lowered = films.id.map((id, film) => `${id}\n${visible(id)}`.toLowerCase());
  const rank = columnRanks(sorting.column);
  const compare = (a, b) => {
    if (rank[a] < 0 || rank[b] < 0) return rank[a] < 0 && rank[b] < 0 ? a - b : rank[b] - rank[a];
    return sorting.direction * (rank[a] - rank[b]) || a - b;
  };
  const groups = [[], []];
  for (let film = 0; film < total; film += 1) if (passes(film)) groups[isScored(film) ? 0 : 1].push(film);
  const [scored, unscored] = groups.map((group) => group.sort(compare));
  list = unscored.length ? [...scored, UNSCORED_GROUP, ...unscored] : scored;
  if (scored.length && data.scored < total) list = [SCORED_GROUP, ...list];
  return { scored: scored.length, unscored: unscored.length };
}

const chosenFilms = () => (ticked.size ? list.filter((film) => ticked.has(film)) : list.filter((film) => film >= 0));
