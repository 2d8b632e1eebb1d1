"use strict";
// Verdicts live in this browser under a key of this audit, and leave it as a CSV that `cxr manifest audit --apply` reads.
const { key, finding, films } = JSON.parse(document.getElementById("data").textContent);
const articles = [...document.querySelectorAll("article[data-film]")];
const said = new Map(); // image id -> {verdict, comment}: films beyond this page's keep what was said of them before
let keeps = true;

function load() {
  try {
    for (const [film, value] of Object.entries(JSON.parse(localStorage.getItem(key) || "{}"))) {
      said.set(film, { verdict: String(value.verdict || ""), comment: String(value.comment || "") });
    }
  } catch {
    keeps = false;
  }
}

function keep() {
  try {
    localStorage.setItem(key, JSON.stringify(Object.fromEntries(said)));
    keeps = true;
  } catch {
    keeps = false;
  }
}

function opinion(film) {
  return said.get(film.image_id) || { verdict: "", comment: "" };
}

function change(film, changes) {
  said.set(film.image_id, { ...opinion(film), ...changes });
  keep();
  draw();
}

function draw() {
  const onlyOpen = document.getElementById("open").checked;
  let judged = 0;
  for (const article of articles) {
    const { verdict, comment } = opinion(films[Number(article.dataset.film)]);
    for (const button of article.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
    }
    const note = article.querySelector("input");
    if (note.value !== comment) note.value = comment;
    article.hidden = onlyOpen && verdict !== "" && !article.contains(document.activeElement);
    judged += verdict !== "";
  }
  document.getElementById("count").textContent = `${judged} of ${films.length} films judged`;
  document.getElementById("kept").textContent = keeps
    ? "kept in this browser until you clear its data"
    : "this browser keeps nothing: save before you close the page";
}

function cell(value) {
  const text = String(value);
  const safe = /^[=+\-@\t\r\n']/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function table() {
  const rows = [["image_id", "finding", "label", "verdict", "comment"]];
  for (const film of films) {
    const { verdict, comment } = opinion(film);
    rows.push([film.image_id, finding, film.label, verdict, comment]);
  }
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], { type: "text/csv" }));
  link.download = `reviewed-${finding.replace(/\W+/g, "-")}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

load();
for (const article of articles) {
  const film = films[Number(article.dataset.film)];
  article.querySelector(".judge").hidden = false;
  for (const button of article.querySelectorAll("button")) {
    const { verdict } = button.dataset;
    button.addEventListener("click", () => change(film, { verdict: opinion(film).verdict === verdict ? "" : verdict }));
  }
  article.querySelector("input").addEventListener("change", (event) => change(film, { comment: event.target.value }));
}
document.getElementById("open").addEventListener("change", draw);
document.getElementById("save").addEventListener("click", save);
document.getElementById("tools").hidden = false;
document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
draw();
