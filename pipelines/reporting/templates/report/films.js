// Films enlarged: window and level by dragging, map and boxes on and off, from film to film.
(() => {
  "use strict";
  const FULL = { width: 255, level: 127.5 }; // the picture as it is stored: 0 is black, 255 white
  const ZOOMS = [1, 1.5, 2, 3, 4];
  const GAIN = 0.5; // display values for each pixel that is dragged

  /** The picture that a <use> points to, in the page's store. */
  function source(use) {
    const stored = use && document.getElementById(use.getAttribute("href").slice(1));
    return stored ? stored.getAttribute("href") : null;
  }

  /** Exact linear window: level - width/2 is black, level + width/2 is white. */
  function shade(width, level) {
    const table = new Uint8ClampedArray(256);
    for (let value = 0; value < 256; value += 1) {
      table[value] = Math.round(Math.min(1, Math.max(0, (value - level) / width + 0.5)) * 255);
    }
    return table;
  }

  function filled(text, values) {
    return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
  }

  function start(dialog) {
    const chapter = dialog.parentElement;
    const films = [...chapter.querySelectorAll(".film")];
    const [stage, holder] = [".viewer-stage", ".viewer-picture"].map((name) => dialog.querySelector(name));
    const written = new Intl.NumberFormat(dialog.closest("[lang]")?.lang || "en", { maximumFractionDigits: 0 });
    const view = { place: 0, zoom: 0, map: false, boxes: true, width: FULL.width, level: FULL.level };
    let grey = null; // {pixels, values, context} of the film on show
    let opener = null;
    let turn = 0;
    let drawing = false;

    function button(name) {
      return dialog.querySelector(`[data-do="${name}"]`);
    }

    function paint() {
      drawing = false;
      if (!grey) return;
      const table = shade(view.width, view.level);
      const out = grey.pixels.data;
      for (let from = 0, to = 0; from < grey.values.length; from += 1, to += 4) {
        out[to] = out[to + 1] = out[to + 2] = table[grey.values[from]];
      }
      grey.context.putImageData(grey.pixels, 0, 0);
    }

    function showValues() {
      const values = { width: written.format(view.width), level: written.format(view.level) };
      dialog.querySelector(".viewer-values").textContent = filled(dialog.dataset.values, values);
      if (!drawing) {
        drawing = true;
        requestAnimationFrame(paint);
      }
    }

    function setWindow(width, level) {
      view.width = Math.min(510, Math.max(1, width));
      view.level = Math.min(255, Math.max(0, level));
      showValues();
    }

    function showLayers() {
      const heat = holder.querySelector(".viewer-heat");
      const marks = holder.querySelector(".viewer-marks");
      if (heat) heat.hidden = !view.map;
      if (marks) marks.style.display = view.boxes ? "" : "none";
      button("map").disabled = !heat;
      button("map").setAttribute("aria-pressed", String(Boolean(heat) && view.map));
      button("boxes").setAttribute("aria-pressed", String(view.boxes));
    }

    function fit() {
      const box = films[view.place].querySelector(".film-plain").viewBox.baseVal;
      const scale = Math.min(stage.clientWidth / box.width, stage.clientHeight / box.height) * ZOOMS[view.zoom];
      holder.style.width = `${Math.floor(box.width * scale)}px`;
      holder.style.height = `${Math.floor(box.height * scale)}px`;
    }

    function layers(film) {
      const canvas = document.createElement("canvas");
      const parts = [canvas];
      const heat = source(film.querySelector(".film-heat"));
      if (heat) {
        const image = document.createElement("img");
        image.className = "viewer-heat";
        image.alt = "";
        image.src = heat;
        parts.push(image);
      }
      const plain = film.querySelector(".film-plain");
      const marks = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      marks.setAttribute("class", "viewer-marks");
      marks.setAttribute("viewBox", plain.getAttribute("viewBox"));
      marks.setAttribute("preserveAspectRatio", "none");
      marks.setAttribute("aria-hidden", "true");
      marks.append(plain.querySelector(".film-marks").cloneNode(true));
      parts.push(marks);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", plain.getAttribute("aria-label"));
      holder.replaceChildren(...parts);
      return canvas;
    }

    async function read(film, canvas, mine) {
      const picture = new Image();
      picture.src = source(film.querySelector(".film-grey"));
      await picture.decode();
      if (mine !== turn) return; // another film was asked for meanwhile
      canvas.width = picture.naturalWidth;
      canvas.height = picture.naturalHeight;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(picture, 0, 0);
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
      grey = { pixels, context, values: pixels.data.filter((value, place) => place % 4 === 0) };
      showValues();
      dialog.dataset.ready = String(view.place);
    }

    function show(place) {
      view.place = (place + films.length) % films.length;
      const film = films[view.place];
      turn += 1;
      grey = null;
      delete dialog.dataset.ready;
      const count = { n: written.format(view.place + 1), all: written.format(films.length) };
      dialog.querySelector(".viewer-place").textContent = filled(dialog.dataset.place, count);
      dialog.querySelector(".viewer-caption").replaceChildren(
        ...[...film.querySelector("figcaption").cloneNode(true).childNodes].filter((part) => part.nodeName !== "BUTTON"),
      );
      const canvas = layers(film);
      view.zoom = 0;
      setWindow(FULL.width, FULL.level);
      showLayers();
      fit();
      read(film, canvas, turn).catch(() => holder.replaceChildren());
    }

    function zoom(by) {
      view.zoom = Math.min(ZOOMS.length - 1, Math.max(0, view.zoom + by));
      fit();
    }

    const actions = {
      previous: () => show(view.place - 1),
      next: () => show(view.place + 1),
      map: () => {
        view.map = !view.map;
        showLayers();
      },
      boxes: () => {
        view.boxes = !view.boxes;
        showLayers();
      },
      in: () => zoom(1),
      out: () => zoom(-1),
      reset: () => {
        setWindow(FULL.width, FULL.level);
        zoom(-ZOOMS.length);
      },
      close: () => dialog.close(),
    };
    const keys = { ArrowLeft: "previous", ArrowRight: "next", h: "map", b: "boxes", "+": "in", "=": "in", "-": "out", r: "reset" };
    const steps = { ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -4], ArrowDown: [0, 4] };

    dialog.addEventListener("click", (event) => {
      const pressed = event.target instanceof Element ? event.target.closest("[data-do]") : null;
      if (pressed) actions[pressed.dataset.do]();
    });
    dialog.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const step = event.shiftKey ? steps[event.key] : undefined;
      const name = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (step) setWindow(view.width + step[0], view.level + step[1]);
      else if (name) actions[name]();
      else return;
      event.preventDefault();
    });
    dialog.addEventListener("close", () => opener?.focus());

    let drag = null;
    let second = null; // a second finger moves an enlarged film about, which the first cannot: it sets the window
    stage.addEventListener("pointerdown", (event) => {
      if (!event.isPrimary) {
        drag = null;
        second = { x: event.clientX, y: event.clientY };
        return;
      }
      if (event.button !== 0 || event.target !== holder.querySelector("canvas")) return;
      drag = { x: event.clientX, y: event.clientY, width: view.width, level: view.level };
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      if (second && !event.isPrimary) {
        stage.scrollBy(second.x - event.clientX, second.y - event.clientY);
        second = { x: event.clientX, y: event.clientY };
      }
      if (!drag || !event.isPrimary) return;
      setWindow(drag.width + (event.clientX - drag.x) * GAIN, drag.level + (event.clientY - drag.y) * GAIN);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      stage.addEventListener(name, () => {
        drag = second = null;
      });
    }
    stage.addEventListener("dblclick", () => setWindow(FULL.width, FULL.level));
    addEventListener("resize", () => {
      if (dialog.open) fit();
    });

    films.forEach((film, place) => {
      const open = document.createElement("button");
      open.type = "button";
      open.className = "film-open";
      open.textContent = dialog.dataset.open;
      const enlarge = () => {
        opener = open;
        dialog.showModal();
        show(place);
        stage.focus();
      };
      open.addEventListener("click", enlarge);
      const pictures = film.querySelector(".film-pictures");
      pictures.classList.add("film-opens");
      pictures.addEventListener("click", enlarge);
      film.querySelector("figcaption").append(document.createElement("br"), open);
    });
    for (const hint of chapter.querySelectorAll(".film-hint")) hint.hidden = false;
  }

  document.querySelectorAll("dialog.film-viewer").forEach(start);
})();
