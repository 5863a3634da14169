// Sorting: by numbers where the cells have them, the missing ones last; a second click turns the order round.
(() => {
  "use strict";
  const valueOf = (row, place) => row.cells[place].dataset.value ?? row.cells[place].textContent.trim();

  function compare(first, second) {
    if (first === "" || second === "") return null; // missing
    const [a, b] = [Number(first), Number(second)];
    return Number.isNaN(a) || Number.isNaN(b) ? first.localeCompare(second, undefined, { numeric: true }) : a - b;
  }

  function sort(heading) {
    const table = heading.closest("table");
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...table.tBodies[0].rows];
    const values = new Map(rows.map((row) => [row, valueOf(row, heading.cellIndex)]));
    rows.sort((a, b) => {
      const [first, second] = [values.get(a), values.get(b)];
      const order = compare(first, second);
      if (order === null) return (first === "") - (second === "");
      return down ? -order : order;
    });
    table.tBodies[0].append(...rows);
  }

  for (const button of document.querySelectorAll("button.sort")) {
    button.addEventListener("click", () => sort(button.closest("th")));
  }
})();
