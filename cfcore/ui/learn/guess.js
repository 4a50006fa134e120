// A corner of the rating matrix: factors beside it, predictions in it, and gradient descent frame by frame.
//
// The frames arrive once and are shown here; the server is told where they stopped, and which number a hand has
// changed. While a slider is being dragged the dot products are taken here, so that the row follows without delay; the
// server computes them again as soon as it is let go.

const LIGHT = { ramp: ["#EAF3FA", "#8FBEDD", "#1668AC"], back: "#D55E00" };
const DARK = { ramp: ["#16303F", "#2A6A91", "#82BEE3"], back: "#F08A4B" };
const SPEED = { 100: 16, 10: 5, 1: 4 }; // steps a second
const SVG = "http://www.w3.org/2000/svg";

export default function (component) {
  const { data, parentElement: root, setTriggerValue } = component;
  const part = (name) => root.querySelector(`[data-part="${name}"]`);
  const [play, ten, one, reset, rate, says, table, slider, which, curve] =
    ["play", "ten", "one", "reset", "rate", "says", "table", "slider", "which", "curve"].map(part);
  root.drawn?.abort(); // Streamlit calls this function again with new data, and the end of the old one only at the very end
  const stop = (root.drawn = new AbortController());
  const listen = (target, type, then) => target.addEventListener(type, then, { signal: stop.signal });
  const memo = (root.host ?? table).dataset, last = data.losses.length - 1;
  let at = memo.base === data.base ? Math.min(Number(memo.at), last) : 0;
  let target = at, speed = 0, before = 0;
  if (root.edited?.base !== data.base) root.edited = null; // a hand may still be at the slider when the frames come
  let chosen = memo.corner === data.corner && memo.chosen ? JSON.parse(memo.chosen) : data.chosen;
  const goesOn = memo.base === data.base && memo.target; // more frames have come while some were being shown
  memo.base = data.base;
  memo.corner = data.corner;

  const frame = () => Math.floor(at + 1e-9);
  const shown = () => root.edited ?? { U: data.U[frame()], V: data.V[frame()], P: data.P[frame()], losses: data.losses[frame()] };
  const tell = (more) => setTriggerValue("moved", { base: data.base, at: frame(), chosen, ...more });

  function draw() {
    const look = colours(root), { U, V, P, losses } = shown();
    for (const cell of table.querySelectorAll("[data-cell]")) {
      const [u, m] = cell.dataset.cell.split(",").map(Number), value = P[u][m];
      const share = Math.min(1, Math.max(0, (value - data.scale[0]) / (data.scale[1] - data.scale[0])));
      const paint = mixed(look.ramp, share);
      cell.style.backgroundColor = `rgb(${paint})`;
      cell.style.color = readable(paint);
      cell.firstChild.textContent = short(value, 2);
    }
    for (const button of table.querySelectorAll("[data-factor]")) {
      const [side, row, factor] = button.dataset.factor.split(",");
      button.textContent = short((side === "U" ? U : V)[row][factor], 2);
      button.setAttribute("aria-pressed", String(button.dataset.factor === chosen.join(",")));
    }
    const [side, row, factor] = chosen, value = (side === "U" ? U : V)[row][factor];
    which.textContent = `${name(chosen)} = ${short(value, 2)}`;
    const reach = Math.max(data.reach, Math.abs(value));
    Object.assign(slider, { min: -reach, max: reach, step: data.reach / 200 });
    slider.value = value;
    slider.style.setProperty("--done", `${50 + (50 * value) / reach}%`);
    const step = data.before.length + frame();
    says.textContent = `Step ${step} · loss ${three(losses[0])}` + (losses[1] === null ? "" : ` · kept back ${three(losses[1])}`) +
      (data.diverged && frame() === last ? " · the next step is beyond all bounds: reset, or choose a smaller rate" : "");
    play.textContent = speed ? "Pause" : "Play 100 steps";
    for (const button of [play, ten, one]) button.disabled = !speed && (!data.ready || frame() >= last);
    memo.at = String(at);
    memo.chosen = JSON.stringify(chosen);
    drawCurve(look, step);
  }

  function drawCurve(look, step) {
    const width = curve.clientWidth || 300, height = curve.clientHeight || 200;
    const box = { left: 44, right: width - 112, top: 24, bottom: height - 24 };
    const all = [...data.before, ...data.losses.slice(0, frame()), shown().losses];
    const values = all.flat().filter((value) => value !== null && value > 0);
    const high = Math.max(...values), low = Math.min(...values), log = high > 10 * low;
    const level = (value) => (log ? Math.log10(Math.max(value, low)) : value);
    const room = (level(high) - level(low) || 1) * 0.06, end = Math.max(step, 10);
    const X = (each) => box.left + (each / end) * (box.right - box.left);
    const Y = (value) => box.bottom - ((level(value) - level(low) + room) / (level(high) - level(low) + 2 * room || 1)) * (box.bottom - box.top);
    const parts = [text(`Loss (MSE) so far${log ? ", logarithmic" : ""}`, 0, 12, "start", look.quiet)];
    for (const share of [0, 0.5, 1]) {
      const value = log ? 10 ** (level(low) + share * (level(high) - level(low))) : low + share * (high - low);
      parts.push(node("line", { x1: box.left, x2: box.right, y1: Y(value), y2: Y(value), stroke: look.rule }));
      parts.push(text(value >= 1000 ? value.toExponential(0) : value >= 10 ? value.toFixed(0) : value.toFixed(2), box.left - 6, Y(value) + 4, "end", look.quiet));
    }
    parts.push(text("0", X(0), height - 6, "middle", look.quiet), text(`step ${end}`, X(end), height - 6, "middle", look.quiet));
    const now = all[all.length - 1], names = ["seen", "kept back"].filter((_, k) => now[k] !== null);
    const ends = apart(names.map((_, k) => Y(now[k])), 15);
    names.forEach((label, k) => {
      const colour = k ? look.back : look.ink, points = all.map((each, i) => `${X(i)},${Y(each[k])}`).join(" ");
      parts.push(node("polyline", { points, fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": k ? "6 4" : "none" }));
      parts.push(node("circle", { cx: X(all.length - 1), cy: Y(now[k]), r: 3.5, fill: colour }));
      const named = text(`${label} ${three(now[k])}`, X(all.length - 1) + 8, ends[k] + 4, "start", colour);
      Object.entries({ stroke: look.paper, "stroke-width": 4, "paint-order": "stroke" }).forEach(([key, value]) => named.setAttribute(key, value));
      parts.push(named); // with the paper's colour around it: it may stand on a line
    });
    curve.replaceChildren(...parts);
    curve.setAttribute("aria-label", `Line chart of the loss over ${step} steps, now ${three(now[0])}` + (now[1] === null ? "." : `, of the ratings kept back ${three(now[1])}.`));
  }

  const name = ([side, row, factor]) => `${side === "U" ? `user ${data.users[row]}` : data.films[row]}, factor ${factor + 1}`;

  function change(value) { // by hand: the same two sums as in Python, until the server has answered
    const [side, row, factor] = chosen, { U, V } = shown(), next = { U: U.map((x) => [...x]), V: V.map((x) => [...x]) };
    next[side][row][factor] = value;
    next.P = next.U.map((u) => next.V.map((v) => u.reduce((sum, x, k) => sum + x * v[k], 0)));
    const loss = (back) => {
      const errors = data.ratings.flatMap((r, u) => r.flatMap((given, m) => (given !== null && data.kept_back[u][m] === back ? [(next.P[u][m] - given) ** 2] : [])));
      return errors.length ? errors.reduce((a, b) => a + b, 0) / errors.length : null;
    };
    root.edited = { base: data.base, ...next, losses: [loss(false), loss(true)] };
    draw();
  }

  function run(n) {
    target = Math.min(frame() + n, last);
    speed = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1e6 : SPEED[n];
    before = performance.now();
    Object.assign(memo, { target: frame() + n, speed });
    at = Math.min(frame() + 1, target); // at once: a click shows that it was heard
    draw();
    requestAnimationFrame(tick);
  }

  function tick(now) {
    if (!speed || stop.signal.aborted) return;
    at = Math.min(target, at + ((now - before) / 1000) * speed);
    before = now;
    if (at >= target) halt();
    else {
      draw();
      requestAnimationFrame(tick);
    }
  }

  function halt() {
    speed = 0;
    memo.target = "";
    at = frame();
    draw();
    tell({});
  }

  if (table.dataset.corner !== data.corner) build(table, data);
  rate.replaceChildren(...data.rates.map(([value, label]) => new Option(label, value, false, value === data.rate)));
  part("descent").hidden = data.hide.includes("descent");
  part("rates").hidden = data.hide.includes("rate");
  part("edit").hidden = data.hide.includes("factors");
  listen(play, "click", () => (speed ? halt() : run(100)));
  listen(ten, "click", () => run(10));
  listen(one, "click", () => run(1));
  listen(reset, "click", () => { speed = 0; memo.target = ""; root.edited = null; tell({ reset: true }); });
  listen(rate, "change", () => { speed = 0; memo.target = ""; tell({ rate: Number(rate.value) }); });
  listen(table, "click", (event) => {
    const button = event.target.closest("[data-factor]");
    if (!button) return;
    const [side, row, factor] = button.dataset.factor.split(",");
    chosen = [side, Number(row), Number(factor)];
    draw();
  });
  listen(slider, "input", () => { speed = 0; memo.target = ""; at = frame(); change(Number(slider.value)); });
  listen(slider, "change", () => tell({ edit: [...chosen, Number(slider.value)] }));
  const watch = new ResizeObserver(() => draw());
  watch.observe(curve);
  listen(table, "transitionend", (event) => { if (event.target === table) draw(); }); // its colour changed: another theme
  if (goesOn) {
    target = Math.min(Number(memo.target), last);
    speed = Number(memo.speed);
    before = performance.now();
    requestAnimationFrame(tick);
  } else memo.target = "";
  draw();
  stop.signal.addEventListener("abort", () => watch.disconnect());
  return () => stop.abort();
}

function build(table, data) {
  const make = (tag, more = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), more);
    made.append(...children); // text, never markup
    return made;
  };
  const factor = (side, row, k, whose) => {
    const button = make("button", { type: "button", title: `${whose}, factor ${k + 1}` });
    button.dataset.factor = [side, row, k].join(",");
    return make("td", { className: "factor" }, button);
  };
  const films = make("tr", {}, make("td", { colSpan: 3 }), ...data.films.map((film) => make("th", { scope: "col", className: "film", title: film }, make("span", {}, film))));
  const factors = [0, 1].map((k) =>
    make("tr", {}, make("th", { colSpan: 3, className: "what" }, `factor ${k + 1}`), ...data.films.map((film, m) => factor("V", m, k, film))));
  const rows = data.users.map((user, u) => make("tr", {}, make("th", { scope: "row", title: `user ${user}` }, make("span", { className: "word" }, "user "), user),
    factor("U", u, 0, `user ${user}`), factor("U", u, 1, `user ${user}`),
    ...data.films.map((film, m) => {
      const given = data.ratings[u][m], back = data.kept_back[u][m];
      const cell = make("td", { className: `cell${back ? " back" : ""}`, title: `user ${user}, ${film}` }, make("b"),
        make("small", {}, given === null ? "\u00A0" : back ? `(${given})` : String(given)));
      cell.dataset.cell = [u, m].join(",");
      return cell;
    })));
  table.replaceChildren(make("thead", {}, films, ...factors), make("tbody", {}, ...rows));
  table.dataset.corner = data.corner;
}

function colours(root) {
  const style = getComputedStyle(root.host ?? root), paper = style.getPropertyValue("--st-background-color").trim() || "#ffffff";
  const dark = brightness(channels(paper)) < 0.5;
  return { ...(dark ? DARK : LIGHT), paper, ink: style.getPropertyValue("--st-primary-color").trim() || "#0072B2", quiet: dark ? "#A9B4BE" : "#5E6B76", rule: dark ? "#2A3540" : "#E4E8EC" };
}

function channels(colour) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  return [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

// Black or white, whichever stands out more (WCAG's relative luminance: the two are even at 0.18).
function readable(colour) {
  const [r, g, b] = colour.map((x) => ((x / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18 ? "#10202E" : "#FFFFFF";
}

const brightness = ([r, g, b]) => (0.299 * r + 0.587 * g + 0.114 * b) / 255;

function mixed(ramp, share) {
  const place = share * (ramp.length - 1), k = Math.min(Math.floor(place), ramp.length - 2), f = place - k;
  const [a, b] = [ramp[k], ramp[k + 1]].map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  return a.map((x, i) => Math.round(x * (1 - f) + b[i] * f));
}

function node(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function text(words, x, y, anchor, fill) {
  const made = node("text", { x, y, "text-anchor": anchor, fill, "font-size": 12 });
  made.textContent = words;
  return made;
}

function apart(places, gap) {
  if (places.length < 2 || Math.abs(places[0] - places[1]) >= gap) return places;
  const middle = (places[0] + places[1]) / 2, sign = places[0] <= places[1] ? -1 : 1;
  return [middle + (sign * gap) / 2, middle - (sign * gap) / 2];
}

const three = (value) => (value === null ? "–" : value < 1000 ? value.toFixed(3) : value < 1e5 ? value.toFixed(0) : value.toExponential(1).replace("e+", "e"));

const short = (value, digits) => (Math.abs(value) < 100 ? value.toFixed(digits) : Math.abs(value) < 1e4 ? value.toFixed(0) : value.toExponential(0)).replace("-", "\u2212");
