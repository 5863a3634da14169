// What the reader chooses: two models side by side, a model's harm to classes, a class's pictures, a model's training.
(() => {
  "use strict";
  const { data, draw, forget, figure, style, colours, symbols } = page;
  const byId = (name) => document.getElementById(name);

  function choose(select, names, chosen, changed) {
    for (const name of names) select.add(new Option(name, name, name === chosen, name === chosen));
    select.addEventListener("change", changed);
  }
  function row(...texts) {
    const line = document.createElement("tr");
    texts.forEach((text, place) => {
      const cell = document.createElement(place ? "td" : "th");
      if (!place) cell.scope = "row";
      cell.textContent = text;
      line.append(cell);
    });
    return line;
  }
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  function deviation(values) {
    const middle = mean(values);
    return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
  }
  function text(values, decimals) {
    if (!values) return "–";
    const spread = values.length > 1 ? ` ± ${deviation(values).toFixed(decimals)}` : "";
    return mean(values).toFixed(decimals) + spread;
  }

  // Two models side by side
  function agreement(differences) {
    if (differences.length === 1) return "single draw";
    const same = differences.every((value) => value > 0) || differences.every((value) => value < 0);
    return differences.every((value) => value === 0) ? "equal" : same ? "each time" : "not each time";
  }
  function compare() {
    const [first, second] = [byId("first").value, byId("second").value];
    const head = row("number", first, second, "difference", "sign");
    for (const cell of [...head.cells]) {
      const heading = document.createElement("th");
      heading.scope = "col";
      heading.textContent = cell.textContent;
      cell.replaceWith(heading);
    }
    const table = byId("side-by-side");
    table.tHead.replaceChildren(head);
    const { columns, values } = data.numbers;
    table.tBodies[0].replaceChildren(...columns.map(({ key, label, decimals }) => {
      const [a, b] = [values[first][key], values[second][key]];
      const differences = a && b ? b.map((value, place) => value - a[place]) : null;
      return row(label, text(a, decimals), text(b, decimals), text(differences, decimals), differences ? agreement(differences) : "");
    }));
  }
  const all = Object.keys(data.numbers.values);
  choose(byId("first"), all, all.includes("retrained") ? "retrained" : "original", compare);
  choose(byId("second"), all, data.headline, compare);
  compare();

  // Harm to the classes
  function harm() {
    const model = byId("harmed").value;
    const [before, after] = [data.accuracy.original, data.accuracy[model]];
    const erased = new Set(data.erased);
    const wanted = byId("find-class").value.toLowerCase();
    const classes = data.classes.map((name, label) => ({
      name, erased: erased.has(label), before: before[label], after: after[label],
      lost: before[label] === null || after[label] === null ? null : before[label] - after[label],
    }));
    const kept = classes.filter((one) => !one.erased && one.lost !== null).sort((a, b) => b.lost - a.lost);
    const shown = classes.filter((one) => one.name.toLowerCase().includes(wanted)).sort((a, b) => a.erased - b.erased || (b.lost ?? -1e9) - (a.lost ?? -1e9));
    byId("harm-table").tBodies[0].replaceChildren(...shown.map((one) => {
      const number = (value) => (value === null ? "–" : value.toFixed(1));
      const line = row(one.name, one.erased ? "erased" : "kept", number(one.before), number(one.after), number(one.lost));
      [one.before, one.after, one.lost].forEach((value, place) => { line.cells[place + 2].dataset.value = value ?? ""; });
      return line;
    }));
    draw(byId("harm-chart"), () => {
      const few = kept.length <= 40;
      const found = (one) => wanted && one.name.toLowerCase().includes(wanted);
      const colour = kept.map((one) => colours()[found(one) ? 1 : 0]);
      const common = { textposition: "none", y: kept.map((one) => one.lost), text: kept.map((one) => one.name), hovertemplate: "%{text}: %{y:.1f} points<extra></extra>" };
      const trace = few
        ? { ...common, type: "bar", x: kept.map((one) => one.name), marker: { color: colour } }
        : { ...common, type: "scatter", mode: "markers", x: kept.map((_, place) => place + 1), marker: { size: 6, color: colour } };
      const xaxis = few ? { type: "category", title: { text: "class" } } : { title: { text: "classes to keep, worst first" } };
      return [[trace], { xaxis, yaxis: { title: { text: "points lost" } }, showlegend: false }];
    });
  }
  choose(byId("harmed"), data.models.filter((name) => name !== "original"), data.headline, harm);
  byId("find-class").addEventListener("input", harm);
  harm();

  // Pictures of an erased class
  const gallery = data.gallery;
  function picture(place, kind) {
    const frame = document.createElement("div");
    const known = gallery.pictures[place];
    const image = document.createElement(known ? "img" : "div");
    const name = data.classes[gallery.labels[place]];
    frame.className = `picture ${kind}`;
    image.className = known ? "" : "blank";
    if (known) {
      image.src = known;
      image.alt = "";
    }
    frame.append(image, kind === "query" ? `asked: ${name}` : name);
    return frame;
  }
  function neighbours(query) {
    const gold = new Set(query.found[gallery.gold]);
    return gallery.models.map((model) => {
      const line = document.createElement("div");
      const name = document.createElement("b");
      line.className = "nearest";
      name.textContent = model;
      const kind = (place) => (model === gallery.gold ? "" : gold.has(place) ? "agrees" : "differs");
      line.append(name, picture(query.picture, "query"), ...query.found[model].map((place) => picture(place, kind(place))));
      return line;
    });
  }
  function map(element, one, model) {
    const [x, y] = one.map.points[model];
    const order = [...new Set(one.map.labels)];
    draw(element, () => {
      const traces = order.map((label, number) => {
        const places = one.map.labels.flatMap((own, place) => (own === label ? [place] : []));
        const own = label === one.label;
        return {
          name: data.classes[label], mode: "markers", x: places.map((place) => x[place]), y: places.map((place) => y[place]),
          marker: own ? { symbol: "star", size: 10, color: colours()[1], line: { width: 1, color: style("--ink") } } : { size: 6, symbol: symbols[number % symbols.length], color: colours()[(number + 1) % colours().length], opacity: 0.75 },
          hovertemplate: `${data.classes[label]}<extra></extra>`,
        };
      });
      const bare = { showticklabels: false, showgrid: false, zeroline: false };
      return [traces.reverse(), { xaxis: bare, yaxis: bare, legend: { font: { size: 10 } } }];
    });
  }
  let maps = [];
  function pictures() {
    const one = gallery.classes[byId("pictured").selectedIndex];
    if (gallery.shown !== "nothing") byId("nearest").replaceChildren(...one.queries.flatMap(neighbours));
    maps.forEach(forget);
    byId("maps").replaceChildren();
    maps = gallery.models.map((model) => {
      const element = figure(byId("maps"), model, "", `Test images of ${data.classes[one.label]} and of the classes nearest to it, by the features of ${model}`);
      map(element, one, model);
      return element;
    });
  }
  if (gallery.classes.length) {
    if (gallery.shown !== "nothing") byId("gold").textContent = gallery.gold;
    choose(byId("pictured"), gallery.classes.map((one) => data.classes[one.label]), null, pictures);
    byId("pictured").selectedIndex = 0;
    if (gallery.left_out) byId("pictured").closest("p").append(`${gallery.left_out} more classes had no room on this page.`);
    pictures();
  } else {
    byId("gallery").hidden = true;
    byId("no-gallery").hidden = false;
  }

  // Training curves
  const named = (column) => column.replace(/^lr$/, "learning rate").replace(/_acc$/, " accuracy, %").replaceAll("_", " ");
  const logged = Object.keys(data.logs);
  let logs = [];
  function training() {
    const own = data.logs[byId("trained").value];
    logs.forEach(forget);
    byId("logs").replaceChildren();
    const columns = Object.keys(Object.values(own)[0]).filter((name) => !["epoch", "step"].includes(name));
    logs = columns.map((column) => {
      const element = figure(byId("logs"), named(column), "", `${named(column)} by epoch, a line a seed`);
      draw(element, () => [
        Object.entries(own).map(([seed, log], place) => ({
          name: `seed ${seed}`, x: log.epoch, y: log[column], mode: log.epoch.length > 30 ? "lines" : "lines+markers",
          line: { color: colours()[place % colours().length] }, marker: { symbol: symbols[place % symbols.length] },
          hovertemplate: `seed ${seed}, epoch %{x}: %{y:.4g}<extra></extra>`,
        })),
        { xaxis: { title: { text: "epoch" } }, yaxis: {}, showlegend: true },
      ]);
      return element;
    });
  }
  if (logged.length) {
    choose(byId("trained"), logged, logged.includes(data.headline) ? data.headline : logged[0], training);
    training();
  } else {
    byId("logs").textContent = "Nothing was trained here.";
    byId("trained").closest("p").hidden = true;
  }
})();
