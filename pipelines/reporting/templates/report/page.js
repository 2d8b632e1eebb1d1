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
