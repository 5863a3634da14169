// What a column means, while its name is pointed at or has the focus; and links into a folded part unfold it.
(() => {
  "use strict";
  const tip = document.getElementById("tip");

  function show(heading) {
    const term = document.getElementById(`term-${heading.dataset.term}`);
    if (!term) return;
    const name = document.createElement("dt");
    name.textContent = heading.dataset.name;
    tip.replaceChildren(name, term.querySelector("dd").cloneNode(true));
    tip.hidden = false;
    const place = heading.getBoundingClientRect();
    const left = Math.min(place.left, window.innerWidth - tip.offsetWidth - 12);
    const below = place.bottom + tip.offsetHeight + 12 < window.innerHeight;
    tip.style.left = `${Math.max(6, left)}px`;
    tip.style.top = `${below ? place.bottom + 4 : Math.max(6, place.top - tip.offsetHeight - 4)}px`;
  }
  const hide = () => { tip.hidden = true; };

  for (const heading of document.querySelectorAll("th[data-term]")) {
    heading.querySelector("button").setAttribute("aria-describedby", `term-${heading.dataset.term}`);
    heading.addEventListener("mouseenter", () => show(heading));
    heading.addEventListener("mouseleave", hide);
    heading.addEventListener("focusin", () => show(heading));
    heading.addEventListener("focusout", hide);
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("scroll", hide, { passive: true });

  function unfold() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const folded = target && target.closest("details");
    if (folded && !folded.open) {
      folded.open = true;
      target.scrollIntoView();
    }
  }
  window.addEventListener("hashchange", unfold);
  unfold();
})();
