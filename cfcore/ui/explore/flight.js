// Films flying from where they began to where they ended, with the loss beside them.
//
// The frames arrive once; everything after that happens here, so a whole class costs the server nothing. Positions are
// 16-bit shares of the plot, film by film within frame by frame. Between two frames a film moves in a straight line.

const SHAPES = ["circle", "square", "up", "diamond", "cross", "down", "circle"];
const LIGHT = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B98500", "#56A0D3"];
const DARK = ["#56B4E9", "#F08A4B", "#2DC79B", "#E9A6CB", "#F0E442", "#B4D4EA"];
const GREY = { light: "#9AA5AF", dark: "#5B6874" };
const MOST_TITLES = 26;

export default function (component) {
  const { data, parentElement: root } = component;
  const find = (name) => root.querySelector(`[data-part="${name}"]`);
  const [play, slider, says, map, loss, legend] = ["play", "slider", "says", "map", "loss", "legend"].map(find);
  root.drawn?.abort(); // Streamlit draws anew before it ends what it drew: with two listeners Play would start and pause
  const stop = (root.drawn = new AbortController());
  const listen = (target, type, then) => target.addEventListener(type, then, { signal: stop.signal });

  const xy = decode(data.xy);
  const [n, frames] = [data.titles.length, data.epochs.length];
  const last = frames - 1;
  let at = Math.min(Number(root.host?.dataset.at ?? last), last);
  let playing = false, before = 0, pointer = null, waiting = 0;
  const radius = (film) => data.radius[film] * Math.min(1, Math.max(0.6, map.clientWidth / 620));
  const fade = new Float32Array(n); // how clearly each title is seen: it comes and goes, but never jumps

  const place = (film, t, size) => {
    const i = Math.min(Math.floor(t), Math.max(last - 1, 0)), f = Math.min(t - i, 1);
    const a = 2 * (i * n + film), b = last ? a + 2 * n : a;
    const x = (xy[a] * (1 - f) + xy[b] * f) / 65535, y = (xy[a + 1] * (1 - f) + xy[b + 1] * f) / 65535;
    return [10 + x * (size.width - 20), size.height - 10 - y * (size.height - 20)];
  };

  function draw() {
    waiting = 0;
    const look = colours(root);
    drawMap(look);
    drawLoss(look);
    const epoch = Math.round(at);
    const words = `Epoch ${data.epochs[epoch]} of ${data.epochs[last]}` + (data.epochs[epoch] ? "" : ", before training");
    says.textContent = words;
    slider.value = String(at);
    slider.setAttribute("aria-valuetext", words + data.said[epoch]);
    slider.style.setProperty("--done", `${last ? (100 * at) / last : 100}%`);
    if (root.host) root.host.dataset.at = String(at);
  }

  const soon = () => { waiting ||= requestAnimationFrame(draw); };

  function drawMap(look) {
    const { pen, size } = sheet(map);
    const points = Array.from({ length: n }, (_, film) => place(film, at, size));
    pen.lineCap = "round";
    for (let film = n - 1; film >= 0; film--) { // the best known last, on top
      const [x, y] = points[film], group = data.groups[film], tail = place(film, Math.max(0, at - 0.7), size);
      pen.strokeStyle = pen.fillStyle = group < 0 ? look.grey : look.palette[group];
      if (Math.hypot(tail[0] - x, tail[1] - y) > 1.5) {
        pen.globalAlpha = 0.22;
        pen.lineWidth = 1.5;
        line(pen, [tail, [x, y]]);
      }
      pen.globalAlpha = group < 0 ? 0.55 : 0.9;
      shape(pen, group < 0 ? "circle" : SHAPES[group], x, y, radius(film));
      pen.globalAlpha = 1;
      pen.lineWidth = 0.8;
      pen.strokeStyle = look.paper;
      pen.stroke();
    }
    if (data.chosen >= 0) {
      const path = Array.from({ length: Math.ceil(at) + 1 }, (_, i) => place(data.chosen, Math.min(i, at), size));
      pen.strokeStyle = look.ink;
      pen.lineWidth = 1.6;
      line(pen, path);
      pen.lineWidth = 2.4;
      shape(pen, "ring", ...points[data.chosen], radius(data.chosen) + 4);
      pen.stroke();
    }
    titles(pen, size, points, look);
  }

  function titles(pen, size, points, look) {
    pen.font = `11.5px ${look.font}`;
    pen.textBaseline = "middle";
    const near = hovered(points), first = [near, data.chosen].filter((film) => film >= 0);
    const order = [...first, ...Array.from({ length: Math.min(n, 90) }, (_, film) => film)];
    const boxes = [], shown = new Set();
    for (const film of order) {
      if (shown.has(film) || shown.size >= MOST_TITLES) continue;
      const [x, y] = points[film], width = pen.measureText(data.titles[film]).width + 4;
      const right = x + width + radius(film) + 6 < size.width;
      const left = right ? x + radius(film) + 3 : x - radius(film) - 3 - width;
      const box = [left, y - 7, left + width, y + 7];
      if (boxes.some((b) => box[0] < b[2] && b[0] < box[2] && box[1] < b[3] && b[1] < box[3])) continue;
      boxes.push(box);
      shown.add(film);
    }
    let moving = false;
    for (let film = 0; film < n; film++) {
      const aim = shown.has(film) ? 1 : 0, step = playing ? 0.08 : 1;
      fade[film] += Math.max(-step, Math.min(step, aim - fade[film]));
      moving ||= fade[film] !== aim;
      if (fade[film] <= 0) continue;
      const [x, y] = points[film], width = pen.measureText(data.titles[film]).width + 4;
      const right = x + width + radius(film) + 6 < size.width;
      pen.globalAlpha = fade[film];
      pen.textAlign = right ? "left" : "right";
      pen.font = `${first.includes(film) ? 600 : 400} 11.5px ${look.font}`;
      pen.strokeStyle = look.paper;
      pen.lineWidth = 3;
      const to = x + (right ? 1 : -1) * (radius(film) + 4);
      pen.strokeText(data.titles[film], to, y);
      pen.fillStyle = look.ink;
      pen.fillText(data.titles[film], to, y);
    }
    pen.globalAlpha = 1;
    if (moving && !playing) soon();
  }

  function hovered(points) {
    if (!pointer) return -1;
    let best = -1, least = 16;
    points.forEach(([x, y], film) => {
      const far = Math.hypot(x - pointer[0], y - pointer[1]);
      if (far < least) [best, least] = [film, far];
    });
    return best;
  }

  function drawLoss(look) {
    const { pen, size } = sheet(loss);
    const { epochs, train, valid, log } = data.loss;
    if (!epochs.length) return;
    const box = { left: 42, right: size.width - 66, top: 26, bottom: size.height - 34 };
    const all = [...train, ...valid].map((v) => (log ? Math.log10(v) : v));
    const low = Math.min(...all), high = Math.max(...all), room = (high - low || 1) * 0.08;
    const end = Math.max(data.epochs[last], 1);
    const X = (epoch) => box.left + (epoch / end) * (box.right - box.left);
    const Y = (value) => box.bottom - (((log ? Math.log10(value) : value) - low + room) / (high - low + 2 * room || 1)) * (box.bottom - box.top);
    pen.font = `12px ${look.font}`;
    pen.fillStyle = look.quiet;
    pen.textAlign = "left";
    pen.fillText(`Loss (MSE)${log ? ", logarithmic" : ""}`, 0, 12);
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const share of [0, 0.5, 1]) {
      const level = low + share * (high - low), value = log ? 10 ** level : level;
      pen.fillText(value < 1000 ? value.toFixed(value < 10 ? 2 : 0) : value.toExponential(0), box.left - 6, Y(value));
      pen.strokeStyle = look.rule;
      pen.lineWidth = 1;
      line(pen, [[box.left, Y(value)], [box.right, Y(value)]]);
    }
    pen.textAlign = "center";
    pen.fillText("0", X(0), box.bottom + 12);
    pen.fillText(`Epoch ${end}`, X(end), box.bottom + 12);
    const epoch = between(data.epochs, at);
    pen.strokeStyle = look.ink;
    line(pen, [[X(epoch), box.top - 6], [X(epoch), box.bottom]]);
    const ends = spread([Y(train[train.length - 1]), Y(valid[valid.length - 1])], 15);
    [["train", train, 0], ["valid", valid, 1]].forEach(([name, values, which]) => {
      pen.strokeStyle = pen.fillStyle = look.palette[which];
      pen.lineWidth = 2;
      pen.setLineDash(which ? [6, 4] : []);
      line(pen, epochs.map((each, i) => [X(each), Y(values[i])]));
      pen.setLineDash([]);
      const now = value_at(epochs, values, epoch);
      if (now !== null) {
        shape(pen, which ? "square" : "circle", X(epoch), Y(now), 4.5);
      }
      pen.textAlign = "left";
      pen.fillText(`${name} ${values[values.length - 1].toFixed(3)}`, box.right + 5, ends[which]);
    });
  }

  function tick(now) {
    if (!playing) return;
    const seconds = Math.min(Math.max(now - before, 0) / 1000, 0.1);  // a slow machine flies slowly, not in leaps
    at = Math.min(last, at + seconds * data.speed);
    before = now;
    draw();
    if (at >= last) toggle(false);
    else requestAnimationFrame(tick);
  }

  function toggle(on) {
    playing = on && last > 0;
    if (playing && at >= last) at = 0;
    play.querySelector("[data-part=word]").textContent = playing ? "Pause" : "Play";
    play.dataset.playing = String(playing);
    before = performance.now();
    if (playing) requestAnimationFrame(tick);
    else soon();
  }

  slider.max = String(last);
  const names = () => legend.replaceChildren(...data.names.map((name, group) => swatch(name, group)));
  names();
  map.setAttribute("aria-label", data.alt);
  loss.setAttribute("aria-label", data.loss_alt);
  listen(play, "click", () => toggle(!playing));
  listen(slider, "input", () => { toggle(false); at = Number(slider.value); soon(); });
  listen(slider, "keydown", (event) => { // whole epochs by keyboard: the slider itself moves in hundredths
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    toggle(false);
    at = Math.max(0, Math.min(last, by > 0 ? Math.floor(at + 1) : Math.ceil(at - 1)));
    soon();
  });
  listen(map, "pointermove", (event) => { pointer = [event.offsetX, event.offsetY]; if (!playing) soon(); });
  listen(map, "pointerleave", () => { pointer = null; if (!playing) soon(); });
  const watch = new ResizeObserver(soon);
  watch.observe(map);
  watch.observe(loss);
  listen(map, "transitionend", () => { names(); soon(); }); // its text colour changed: another theme
  toggle(false);
  return () => { playing = false; stop.abort(); watch.disconnect(); cancelAnimationFrame(waiting); };
}

function decode(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Uint16Array(bytes.buffer);
}

function colours(root) {
  const style = getComputedStyle(root.host ?? root), paper = style.getPropertyValue("--st-background-color").trim() || "#fff";
  const dark = brightness(paper) < 0.5;
  return {
    paper, ink: style.getPropertyValue("--st-text-color").trim() || "#1B2530", font: style.getPropertyValue("--st-font") || "sans-serif",
    quiet: dark ? "#A9B4BE" : "#5E6B76", rule: dark ? "#2A3540" : "#E4E8EC", grey: dark ? GREY.dark : GREY.light, palette: dark ? DARK : LIGHT,
  };
}

function brightness(colour) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.fillStyle = colour;
  pen.fillRect(0, 0, 1, 1);
  const [r, g, b] = pen.getImageData(0, 0, 1, 1).data;
  return (0.299 * r + 0.587 * g + 0.114 * b) / 255;
}

function sheet(canvas) {
  const size = { width: canvas.clientWidth, height: canvas.clientHeight }, sharp = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(size.width * sharp)) canvas.width = Math.round(size.width * sharp);
  if (canvas.height !== Math.round(size.height * sharp)) canvas.height = Math.round(size.height * sharp);
  const pen = canvas.getContext("2d");
  pen.setTransform(sharp, 0, 0, sharp, 0, 0);
  pen.clearRect(0, 0, size.width, size.height);
  return { pen, size };
}

function line(pen, points) {
  pen.beginPath();
  points.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.stroke();
}

function shape(pen, name, x, y, r) {
  pen.beginPath();
  const corners = {
    square: [[-0.88, -0.88], [0.88, -0.88], [0.88, 0.88], [-0.88, 0.88]],
    up: [[0, -1.1], [1.05, 0.8], [-1.05, 0.8]],
    down: [[0, 1.1], [1.05, -0.8], [-1.05, -0.8]],
    diamond: [[0, -1.25], [1, 0], [0, 1.25], [-1, 0]],
    cross: [[-0.38, -1.1], [0.38, -1.1], [0.38, -0.38], [1.1, -0.38], [1.1, 0.38], [0.38, 0.38], [0.38, 1.1], [-0.38, 1.1], [-0.38, 0.38], [-1.1, 0.38], [-1.1, -0.38], [-0.38, -0.38]],
  }[name];
  if (!corners) pen.arc(x, y, r, 0, 2 * Math.PI);
  else corners.forEach(([dx, dy], i) => (i ? pen.lineTo(x + dx * r, y + dy * r) : pen.moveTo(x + dx * r, y + dy * r)));
  pen.closePath();
  if (name !== "ring") pen.fill();
}

function swatch(name, group) {
  const item = document.createElement("li"), canvas = document.createElement("canvas");
  canvas.className = "swatch";
  canvas.setAttribute("aria-hidden", "true");
  item.append(canvas, name); // text, never markup
  requestAnimationFrame(() => {
    const look = colours(item.getRootNode()), { pen } = sheet(canvas);
    pen.fillStyle = look.palette[group] ?? look.grey;
    shape(pen, SHAPES[group], 7, 7, 5);
  });
  return item;
}

function between(values, at) {
  const i = Math.min(Math.floor(at), values.length - 1), j = Math.min(i + 1, values.length - 1);
  return values[i] + (at - i) * (values[j] - values[i]);
}

function value_at(epochs, values, epoch) {
  if (epoch < epochs[0]) return null; // before training there is no loss
  const j = epochs.findIndex((each) => each >= epoch);
  if (j <= 0) return values[j === 0 ? 0 : values.length - 1];
  return values[j - 1] + ((epoch - epochs[j - 1]) / (epochs[j] - epochs[j - 1])) * (values[j] - values[j - 1]);
}

function spread([a, b], gap) {
  if (Math.abs(a - b) >= gap) return [a, b];
  const middle = (a + b) / 2;
  return a <= b ? [middle - gap / 2, middle + gap / 2] : [middle + gap / 2, middle - gap / 2];
}
