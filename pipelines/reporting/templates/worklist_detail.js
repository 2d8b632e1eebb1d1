// One film: its picture with the maps, and all its numbers.
const view = { place: -1, layer: "film", strength: 100 };

function openFilm(place) {
  view.place = place;
  const dialog = element("film");
  if (!dialog.open) {
    dialog.showModal();
    document.documentElement.classList.add("one-film");
  }
  showFilm();
}

// The next film of the list in this direction; headings are stepped over.
function neighbour(step) {
  let place = view.place + step;
  while (place >= 0 && place < list.length && list[place] < 0) place += step;
  return place >= 0 && place < list.length ? place : null;
}

function turnTo(step, focused = null) {
  const place = neighbour(step);
  if (place === null) return;
  view.place = place;
  showFilm(focused);
}

function stepButton(name, step) {
  const button = make("button", { type: "button", id: name, "aria-label": word(name), title: word(name) }, step < 0 ? "←" : "→");
  button.disabled = neighbour(step) === null;
  button.addEventListener("click", () => turnTo(step, name));
  return button;
}

function showFilm(focused = null) {
  const film = list[view.place];
  const close = make("button", { type: "button", id: "close", "aria-label": word("close"), title: word("close") }, "×");
  close.addEventListener("click", () => element("film").close());
  const places = list.filter((entry) => entry >= 0);
  const title = make("h2", { id: "film-id", tabindex: "-1" }, make("bdi", {}, filmName(film)));
  const place = word("place_of", { place: places.indexOf(film) + 1, films: places.length });
  element("film").replaceChildren(
    make("div", { class: "film-head" }, title, make("span", { class: "badge" }, word("badge")), make("span", { class: "soft" }, place), stepButton("previous", -1), stepButton("next", 1), close),
    make("div", { class: "film-body" }, pictureSide(film), factSide(film)),
  );
  const target = focused && element(focused);
  (target && !target.disabled ? target : title).focus({ preventScroll: true });
}

function pictureSide(film) {
  const url = pictureUrl(film, "film");
  if (!url) return make("div", { class: "stage empty" }, make("p", {}, word(anyPicture ? "no_picture" : "no_pictures")));
  const base = make("img", { src: url, alt: word("picture_of", { film: filmName(film) }) });
  const frame = make("div", { class: "frame" }, base);
  const stage = make("div", { class: "stage" }, frame);
  base.addEventListener("error", () => stage.replaceChildren(make("p", {}, word("picture_failed"))));
  const mapped = findings.map((_, finding) => finding).filter((finding) => hasMap(film, finding));
  if (!mapped.length) return make("div", { class: "picture-side" }, stage);
  return make("div", { class: "picture-side" }, stage, ...mapControls(film, mapped, frame));
}

function mapControls(film, mapped, frame) {
  const map = make("img", { class: "map", alt: "" });
  map.hidden = true;
  frame.append(map);
  const wanted = view.layer === "film" || mapped.includes(view.layer) ? view.layer : "film";
  const range = make("input", { type: "range", id: "strength", min: 0, max: 100, step: 5, value: view.strength });
  const show = (layer) => {
    view.layer = layer;
    map.hidden = layer === "film";
    range.disabled = layer === "film";
    if (layer === "film") return;
    map.src = pictureUrl(film, findings[layer].key);
    map.alt = word("map_of", { film: filmName(film), finding: findings[layer].name });
    map.style.opacity = String(view.strength / 100);
  };
  range.addEventListener("input", () => {
    view.strength = Number(range.value);
    map.style.opacity = String(view.strength / 100);
  });
  const choices = ["film", ...mapped].map((layer) => {
    const label = layer === "film" ? word("film_alone") : word("map_for", { finding: findings[layer].name });
    const radio = make("input", { type: "radio", name: "layer", value: layer });
    radio.checked = layer === wanted;
    radio.addEventListener("change", () => show(layer));
    return make("label", {}, radio, " ", make("bdi", {}, label));
  });
  show(wanted);
  return [
    make("fieldset", {}, make("legend", {}, word("show")), ...choices),
    make("label", { class: "strength" }, word("opacity"), " ", range),
    make("p", { class: "soft" }, `${word("map_key")} ${word("keys")}`),
  ];
}

function factSide(film) {
  const facts = make("dl", {});
  const add = (term, ...values) => facts.append(make("dt", {}, term), make("dd", {}, ...values));
  add(word("column_class"), badge(film));
  add(word("column_score"), decimal(films.score[film], 1), " ", bar(films.score[film], 100));
  add(word("column_status"), make("bdi", {}, statusText(film)));
  const detail = films.details[films.detail[film]];
  if (detail) add(word("detail"), make("bdi", {}, visible(detail)));
  add(word("column_remarks"), remarksText(film));
  add(word("atypicality"), decimal(films.atypicality[film], 2));
  add(word("text_area"), percent(films.text[film]));
  add(word("border"), percent(films.border[film]));
  add(word("path"), make("bdi", {}, visible(films.path[film] || films.id[film])));
  add(word("input_place"), whole(films.position[film]));
  return make("div", { class: "fact-side" }, ...findings.map((_, finding) => findingFacts(film, finding)), facts);
}

function findingFacts(film, number) {
  const finding = findings[number];
  const p = films.p[number][film];
  const [x, y] = films.peak[number].map((axis) => axis[film]);
  const facts = make("dl", {});
  const add = (term, value) => facts.append(make("dt", {}, term), make("dd", {}, value));
  add(word("probability"), decimal(p, 4));
  add(word("threshold"), decimal(finding.threshold, 4));
  if (finding.ruleOut !== null) add(word("rule_out"), decimal(finding.ruleOut, 4));
  add(word("peak"), x === null ? UNKNOWN : `${whole(x)}, ${whole(y)} ${word("peak_unit")}`);
  add(word("control"), decimal(films.control[number][film], 3));
  const flag = flagText(film, number);
  const flagged = flagOf(film, number) === 2 ? "flag on" : "flag";
  const heading = make("h3", {}, make("bdi", {}, finding.name), " ", make("span", { class: flagged }, flag));
  return make("section", {}, heading, bar(p, 1, finding.threshold), facts);
}

// The strength keeps its arrows, and up and down are left to scrolling and to the choice of a map.
function onFilmKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.id === "strength") return;
  if (event.key === "ArrowRight") turnTo(1);
  else if (event.key === "ArrowLeft") turnTo(-1);
  else if (event.key === "m" || event.key === "M") nextLayer();
  else return;
  event.preventDefault();
}

function nextLayer() {
  const choices = [...element("film").querySelectorAll("input[name=layer]")];
  const now = choices.findIndex((choice) => choice.checked);
  if (choices.length) choices[(now + 1) % choices.length].click();
}

function onFilmClosed() {
  document.documentElement.classList.remove("one-film");
  element("film").replaceChildren();
  // The keyboard goes on where the reader stopped, not where the view was opened.
  goTo(view.place, 1);
}
