// Drawing by Plotly when a chart comes near to the window, in the colours of the page: anew when the reader's scheme
// changes, and in light colours on paper.
const page = (() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const light = ["#0072b2", "#d55e00", "#00805b", "#a63d82", "#8a6100", "#3b6fd4", "#5b5b00", "#8c510a"];
  const dark = ["#5cb3ea", "#ff9a57", "#3fd0a4", "#ea9ccb", "#e6b34d", "#9db8ff", "#d8d34f", "#d6a56b"];
  const dashes = ["solid", "dash", "dot", "dashdot"];
  const symbols = ["circle", "square", "diamond", "triangle-up", "x", "cross", "star"];
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const drawings = new Map(); // element: function that returns [traces, layout]
  const drawn = new Set();
  const PAPER = { width: 676, height: 250 }; // px, as in page.css: a page is not laid out yet when printing begins
  let onPaper = false;

  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colours = () => (scheme.matches && !onPaper ? dark : light);

  function layout(own) {
    const ink = onPaper ? "#000" : style("--ink");
    const line = onPaper ? "#ccc" : style("--line");
    const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, tickcolor: line, automargin: true };
    return {
      ...own,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, size: onPaper ? 10 : 12, family: style("--font") },
      margin: { l: 8, r: 8, t: 8, b: 8 },
      xaxis: { ...axis, ...own.xaxis }, yaxis: { ...axis, ...own.yaxis },
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", ...own.legend },
      ...(onPaper ? { width: PAPER.width, height: PAPER.height } : {}),
      autosize: !onPaper,
      hoverlabel: { font: { family: style("--font") } },
    };
  }

  function redraw(element) {
    const [traces, own] = drawings.get(element)();
    Plotly.react(element, traces, layout(own), { displayModeBar: false, responsive: true });
  }

  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      drawn.add(target);
      redraw(target);
    }
  }, { rootMargin: "400px" });

  // make: a function, so that the drawing can be made again in other colours
  function draw(element, make) {
    drawings.set(element, make);
    if (drawn.has(element)) redraw(element);
    else near.observe(element);
  }

  function forget(element) {
    near.unobserve(element);
    if (drawn.delete(element)) Plotly.purge(element);
    drawings.delete(element);
  }

  scheme.addEventListener("change", () => drawn.forEach(redraw));
  function paper(is) {
    onPaper = is;
    for (const element of drawings.keys()) if (is && !element.closest(".screen")) drawn.add(element);
    drawn.forEach(redraw);
    if (!is) drawn.forEach((element) => Plotly.Plots.resize(element));
  }
  window.addEventListener("beforeprint", () => paper(true));
  window.addEventListener("afterprint", () => paper(false));

  // The original and the retrained model look alike in every chart; each method has a colour and a dash of its own.
  function look(model) {
    const place = data.models.indexOf(model);
    const ink = onPaper ? "#000" : style("--ink");
    if (data.kinds[model] === "reference") return { color: ink, dash: place ? "dash" : "solid", symbol: place ? "circle-open" : "circle" };
    const palette = colours();
    const number = place - data.models.filter((name) => data.kinds[name] === "reference").length;
    return {
      color: palette[number % palette.length], dash: dashes[Math.floor(number / palette.length) % dashes.length],
      symbol: symbols[number % symbols.length],
    };
  }

  function figure(parent, title, says, label) {
    const frame = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const chart = document.createElement("div");
    caption.textContent = title;
    chart.className = "chart";
    chart.setAttribute("role", "img");
    chart.setAttribute("aria-label", label);
    frame.append(caption);
    if (says) {
      const text = document.createElement("p");
      text.textContent = says;
      frame.append(text);
    }
    frame.append(chart);
    parent.append(frame);
    return chart;
  }

  return { data, draw, forget, look, figure, style, colours, symbols };
})();

// Layers and attacks, a line a model; the reader chooses which.
(() => {
  "use strict";
  const { data, draw, look, figure } = page;
  const shown = new Set(data.shown);

  function lines(chart) {
    const traces = data.models.filter((model) => shown.has(model) && chart.lines[model]).map((model) => {
      const { color, dash, symbol } = look(model);
      const spread = chart.spread[model];
      return {
        name: model, x: chart.x, y: chart.lines[model], mode: "lines+markers", line: { color, dash, width: 2 }, marker: { symbol, size: 7 },
        error_y: spread ? { type: "data", array: spread, thickness: 1, width: 3, color } : undefined,
        hovertemplate: `${model}<br>%{x}: %{y:.1f}<extra></extra>`,
      };
    });
    return [traces, { xaxis: { title: { text: chart.x_title }, type: "category" }, yaxis: { title: { text: chart.y_title }, range: [-4, 104] } }];
  }

  const parent = document.getElementById("charts");
  const drawn = data.charts.map((chart) => {
    const element = figure(parent, chart.title, chart.says, `${chart.title}. A line a model; the tables have the numbers.`);
    return () => draw(element, () => lines(chart));
  });
  const drawAll = () => drawn.forEach((again) => again());
  for (const model of data.models) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = shown.has(model);
    box.addEventListener("change", () => {
      box.checked ? shown.add(model) : shown.delete(model);
      drawAll();
    });
    label.append(box, ` ${model}`);
    document.getElementById("drawn").append(label);
  }
  drawAll();
})();
