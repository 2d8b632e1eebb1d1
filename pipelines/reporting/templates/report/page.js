// One page, several languages: one edition is shown at a time, and the choice survives a reload through the address.
(() => {
  "use strict";
  const editions = [...document.querySelectorAll(".edition")];
  if (editions.length < 2) return;

  const codes = editions.map((edition) => edition.dataset.edition);

  /** The same chapter in another edition: ids there begin with the edition's code. */
  function twin(id, code) {
    const bare = codes.some((other) => id.startsWith(`${other}-`)) ? id.slice(id.indexOf("-") + 1) : id;
    return document.getElementById(`${code}-${bare}`);
  }

  function show(code, focus) {
    const before = editions.find((edition) => !edition.hidden);
    const chosen = editions.find((edition) => edition.dataset.edition === code);
    if (!chosen) return;
    // The reader stays at the heading that was on top of the window.
    const headings = before ? [...before.querySelectorAll("h2[id]")] : [];
    const top = headings.filter((heading) => heading.getBoundingClientRect().top < 120).pop();
    for (const edition of editions) edition.hidden = edition !== chosen;
    document.documentElement.lang = code;
    const heading = chosen.querySelector("h1");
    if (heading) document.title = heading.textContent.trim();
    if (focus) chosen.querySelector(`.language-switch[data-language="${code}"]`)?.focus({ preventScroll: true });
    if (top && before !== chosen) twin(top.id, code)?.scrollIntoView();
    document.dispatchEvent(new CustomEvent("edition", { detail: code }));
  }

  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest(".language-switch") : null;
    if (!button) return;
    show(button.dataset.language, true);
    history.replaceState(null, "", `#${button.dataset.language}-`);
  });

  function follow() {
    const id = decodeURIComponent(location.hash.slice(1));
    const code = codes.find((one) => id.startsWith(`${one}-`));
    if (!code) return;
    show(code, false);
    document.getElementById(id)?.scrollIntoView();
  }

  addEventListener("hashchange", follow);
  follow();
})();

// The contents follow the reader: the chapter on top of the window is marked, and stays in sight where they scroll.
(() => {
  "use strict";
  const links = [...document.querySelectorAll("nav.contents a")];
  const chapters = new Map(links.map((link) => [document.getElementById(link.hash.slice(1))?.parentElement, link]));
  let waiting = false;

  function mark() {
    waiting = false;
    const line = innerHeight / 3;
    for (const [chapter, link] of chapters) {
      const box = chapter?.getBoundingClientRect();
      const here = Boolean(box && box.height && box.top <= line && box.bottom > line);
      if (here === link.hasAttribute("aria-current")) continue;
      link.toggleAttribute("aria-current", here);
      if (!here) continue;
      link.setAttribute("aria-current", "location");
      const list = link.closest("ol");
      const shift = link.getBoundingClientRect().left - list.getBoundingClientRect().left;
      list.scrollLeft += shift - 24;
    }
  }

  function soon() {
    if (!waiting) requestAnimationFrame(mark);
    waiting = true;
  }

  addEventListener("scroll", soon, { passive: true });
  addEventListener("resize", soon);
  document.addEventListener("edition", soon);
  mark();
})();
