// The sliders of "Try another threshold": one set per finding, each by itself.
"use strict";
(() => {
  const { numbers, writer } = globalThis.CxrExplore;
  const SHARES = new Set(["sensitivity", "specificity", "flagged", "ppv", "npv"]);
  const COUNTS = new Set(["true_positive", "false_negative", "false_positive", "true_negative"]);
  const RANGES = new Set(["ppv", "npv", "referred", "avoided", "tests_per_case"]);
  const MINUTES = new Set(["without_ai", "with_ai", "difference"]);
  const PATIENCE = 700; // ms without a move before the result is said aloud
  const STEPS = 1000;
  const filled = (text, values) => text.replace(/\{(\w+)\}/g, (gap, name) => values[name] ?? gap);

  function start(finding, words) {
    const part = (name) => finding.querySelector(`.explore-${name}`);
    const data = JSON.parse(part("data").textContent);
    const { decimal, percent, percentage, significant } = writer(words);
    const slider = part("slider");
    const place = part("prevalence-slider");
    const typed = part("percent");
    const rows = new Map([...finding.querySelectorAll("[data-row]")].map((row) => [row.dataset.row, rowOf(row)]));
    const shownThreshold = kept(part("threshold"));
    const shownPrevalence = kept(part("prevalence"));
    const [least, most] = data.prevalences;
    const plot = drawn(part("plot"), data, words, percent);
    let prevalence = data.prevalence;
    let saying = 0;

    // A place whose first content can come back.
    function kept(box) {
      const first = [...box.childNodes].map((node) => node.cloneNode(true));
      return { box, restore: () => box.replaceChildren(...first.map((node) => node.cloneNode(true))) };
    }

    function rowOf(row) {
      const where = row.querySelector(".explore-where");
      const [value, interval] = ["value", "interval"].map((name) => kept(row.querySelector(`.explore-${name}`)));
      return { value, interval, where };
    }

    function write(box, value, text) {
      const node = document.createElement("data");
      node.value = String(value);
      node.textContent = text;
      box.replaceChildren(node);
    }

    // Scores crowd below 1: more digits there, as in the chapter's Python.
    const written = (score) => significant(score, score > 0.99 && score < 1 ? 6 : 4);

    // As the chapter's Python has it: `share_digits` and `amount_digits`.
    function digitsOf(name, { value, high }) {
      if (COUNTS.has(name)) return 0;
      if (name === "ppv" || name === "npv") return value >= 0.1 && value <= 0.9 ? 1 : 2;
      return SHARES.has(name) || Math.max(Math.abs(value), Math.abs(high ?? 0)) < 100 ? 1 : 0;
    }

    function textOf(name, found) {
      if (found.value === null) return words.none;
      const digits = digitsOf(name, found);
      return SHARES.has(name) ? percent(found.value, digits) : decimal(found.value, digits);
    }

    function boundsOf(name, found) {
      if (found.unbounded) return words.messages.no_bound;
      if (found.low === null || found.value === null) return "";
      const digits = digitsOf(name, found);
      const share = SHARES.has(name);
      const low = decimal(share ? 100 * found.low : found.low, digits);
      const high = share ? percent(found.high, digits) : decimal(found.high, digits);
      const bounds = found.low < 0 ? filled(words.messages.to, { low, high }) : `${low}–${high}`;
      return filled(RANGES.has(name) ? data.range : data.interval, { bounds });
    }

    function show(say = true) {
      const stop = Number(slider.value);
      const found = numbers(data, stop, prevalence);
      const samePrevalence = prevalence === data.prevalence;
      const sameStop = stop === data.start;
      const same = data.operating && sameStop && samePrevalence;
      for (const [name, row] of rows) {
        const number = found[name];
        const recorded = same && (!MINUTES.has(name) || data.minutes_at_start);
        if (recorded) {
          row.value.restore();
          row.interval.restore();
        } else {
          write(row.value.box, number.value ?? "", textOf(name, number));
          row.interval.box.textContent = boundsOf(name, number);
        }
        if (row.where) row.where.hidden = !recorded;
      }
      const threshold = data.threshold[stop];
      const said = { threshold: written(threshold), prevalence: percentage(prevalence) };
      for (const name of ["sensitivity", "specificity", "ppv", "npv", "referred", "missed"])
        said[name] = textOf(name, found[name]);
      if (sameStop && data.operating) shownThreshold.restore();
      else write(shownThreshold.box, threshold, said.threshold);
      if (samePrevalence) shownPrevalence.restore();
      else write(shownPrevalence.box, prevalence, said.prevalence);
      slider.setAttribute("aria-valuetext", filled(words.messages.value, said));
      place.setAttribute("aria-valuetext", said.prevalence);
      part("at-start").hidden = !(sameStop && samePrevalence);
      part("moved").hidden = sameStop && samePrevalence;
      part("back").disabled = sameStop;
      part("prevalence-back").disabled = samePrevalence;
      plot(stop, found);
      if (say) later(filled(words.messages.said, said));
    }

    function later(text) {
      clearTimeout(saying);
      saying = setTimeout(() => (part("said").textContent = text), PATIENCE);
    }

    const exponent = (share) => Math.round((STEPS * Math.log(share / least)) / Math.log(most / least));
    const inPercent = (share) => String(Number((100 * share).toPrecision(12)));

    function setPrevalence(share, from) {
      prevalence = share;
      if (from !== place) place.value = String(exponent(share));
      if (from !== typed) typed.value = inPercent(share);
      part("refused").textContent = "";
      typed.removeAttribute("aria-invalid");
      show();
    }

    function read() {
      // Moved by two digits in the text, not divided: 0.7 % is then the very number 0.007.
      const share = typed.value.includes("e") ? Number(typed.value) / 100 : Number(`${typed.value}e-2`);
      if (typed.value !== "" && share >= least && share <= most) return setPrevalence(share, typed);
      part("refused").textContent = filled(words.messages.refused, { low: percentage(least), high: percentage(most) });
      typed.setAttribute("aria-invalid", "true");
    }

    function slide() {
      const share = least * (most / least) ** (Number(place.value) / STEPS);
      const [low, high] = [Number(place.value) === 0, Number(place.value) === STEPS];
      setPrevalence(low ? least : high ? most : Number(`${Number((100 * share).toPrecision(2))}e-2`), place);
    }

    function move(stop) {
      slider.value = String(stop);
      show();
    }

    slider.max = String(data.threshold.length - 1);
    slider.value = String(data.start);
    typed.min = inPercent(least);
    typed.max = inPercent(most);
    typed.value = inPercent(prevalence);
    place.value = String(exponent(prevalence));
    slider.addEventListener("input", () => show());
    slider.addEventListener("keydown", (event) => {
      const step = { PageUp: 1, PageDown: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      move(Number(slider.value) + step * Math.max(1, Math.round(0.05 * data.threshold.length)));
    });
    place.addEventListener("input", slide);
    typed.addEventListener("input", read);
    part("back").addEventListener("click", () => {
      slider.focus(); // the button is about to be disabled and must not take the focus with it
      move(data.start);
    });
    part("prevalence-back").addEventListener("click", () => {
      place.focus();
      setPrevalence(data.prevalence);
    });
    for (const jump of finding.querySelectorAll(".explore-jump"))
      jump.addEventListener("click", () => move(Number(jump.dataset.stop)));
    if (data.known > data.threshold.length) {
      const [shown, all] = [data.threshold.length, data.known].map((count) => decimal(count, 0));
      part("thinned").textContent = filled(words.messages.thinned, { shown, all });
      part("thinned").hidden = false;
    }
    for (const hidden of [...finding.querySelectorAll(".explore-controls"), part("roc")]) hidden.hidden = false;
    show(false);
  }

  // A small ROC curve through the stops; returns what moves its point and the box of both intervals.
  function drawn(box, data, words, percent) {
    const [left, top, side] = [46, 8, 200];
    const make = (name, attributes, text) => {
      const node = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
      if (text !== undefined) node.textContent = text;
      svg.append(node);
      return node;
    };
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 260 252");
    const x = (share) => left + side * share;
    const y = (share) => top + side * (1 - share);
    const point = (stop) => [
      x(data.false_positive[stop] / data.negatives),
      y(data.true_positive[stop] / data.positives),
    ];
    const text = { "font-size": 10, fill: "#1e2730" };
    for (const share of [0, 0.5, 1]) {
      make("path", { d: `M${x(share)} ${top}V${y(0)}M${left} ${y(share)}H${x(1)}`, stroke: "#d5dae0" });
      make("text", { ...text, x: x(share), y: y(0) + 14, "text-anchor": "middle" }, percent(share, 0));
      make("text", { ...text, x: left - 5, y: y(share) + 3, "text-anchor": "end" }, percent(share, 0));
    }
    const middle = { ...text, "text-anchor": "middle" };
    make("text", { ...middle, x: x(0.5), y: y(0) + 32 }, words.messages.roc_x);
    make("text", { ...middle, transform: `translate(10 ${y(0.5)}) rotate(-90)` }, words.messages.roc_y);
    const line = data.threshold.map((_, stop) => point(stop).map((at) => at.toFixed(1)).join(" "));
    make("path", { d: `M${line.join("L")}L${x(0)} ${y(0)}`, fill: "none", stroke: "#0b5a8a", "stroke-width": 1.6 });
    const area = make("rect", { fill: "#c1500a", "fill-opacity": 0.16, stroke: "#c1500a", "stroke-width": 0.8 });
    if (data.operating) {
      const [cx, cy] = point(data.start);
      make("circle", { cx, cy, r: 7, fill: "none", stroke: "#0b5a8a", "stroke-width": 1.6 });
    }
    const spot = make("circle", { r: 4, fill: "#c1500a" });
    box.replaceChildren(svg);
    return (stop, found) => {
      const [cx, cy] = point(stop);
      spot.setAttribute("cx", cx);
      spot.setAttribute("cy", cy);
      const { sensitivity, specificity } = found;
      if (sensitivity.low === null || specificity.low === null) return area.setAttribute("width", 0);
      area.setAttribute("x", x(1 - specificity.high));
      area.setAttribute("y", y(sensitivity.high));
      area.setAttribute("width", side * (specificity.high - specificity.low));
      return area.setAttribute("height", side * (sensitivity.high - sensitivity.low));
    };
  }

  for (const chapter of document.querySelectorAll(".explore")) {
    const held = chapter.querySelector(".explore-words");
    if (!held) continue;
    const words = JSON.parse(held.textContent);
    for (const finding of chapter.querySelectorAll(".explore-finding")) start(finding, words);
    chapter.querySelector(".explore-nojs").classList.add("explore-done");
  }
})();
