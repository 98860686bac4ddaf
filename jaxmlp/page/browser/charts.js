// Charts: the loss of all epochs, and predictions against targets.

/** Numbers for ticks between two ends: steps of 1, 2 or 5. */
function ticks(low, high, most = 6) {
  const power = 10 ** Math.floor(Math.log10((high - low) / most));
  const step = [1, 2, 5, 10].map((k) => k * power).find((size) => (high - low) / size <= most);
  const first = Math.ceil(low / step - 1e-9);
  return range(Math.floor(high / step + 1e-9) - first + 1).map((k) => (first + k) * step);
}

/** Ticks of a logarithmic axis: 1, 2 and 5 times a power of ten; only the powers if those are many. */
function logTicks(low, high) {
  const powers = range(Math.ceil(Math.log10(high)) - Math.floor(Math.log10(low)) + 1).map(
    (k) => 10 ** (k + Math.floor(Math.log10(low))),
  );
  const inside = (values) => values.filter((value) => value >= low && value <= high);
  const all = inside(powers.flatMap((power) => [power, 2 * power, 5 * power]));
  if (all.length < 3) return ticks(low, high, 4);
  const few = all.length > 8 ? inside(powers) : all;
  return few.filter((_, k) => k % Math.ceil(few.length / 8) === 0);
}

const plain = (value) =>
  Math.abs(value) < 1e6 ? String(Number(value.toPrecision(6))) : Number(value.toPrecision(2)).toExponential();

/** Draw the axes of a chart; return the maps from values to pixels, and the group to draw in. */
function chart(node, { x, y, xLabel, yLabel, logY = false, height = 192 }) {
  const heights = logY ? logTicks(...y) : ticks(...y, 5);
  const width = node.clientWidth || 320,
    left = 14 + 7 * Math.max(...heights.map((value) => plain(value).length)),
    right = 12,
    top = 22,
    bottom = 36;
  const scale = logY ? Math.log10 : (value) => value;
  const toX = (value) => left + ((value - x[0]) / (x[1] - x[0])) * (width - left - right);
  const toY = (value) =>
    height - bottom - ((scale(value) - scale(y[0])) / (scale(y[1]) - scale(y[0]))) * (height - top - bottom);
  const fromX = (pixel) => x[0] + ((pixel - left) / (width - left - right)) * (x[1] - x[0]);
  node.setAttribute("viewBox", `0 0 ${width} ${height}`);
  node.setAttribute("height", height);
  const axes = svg("g");
  const text = (attributes, content) => axes.append(svg("text", attributes, content));
  for (const value of ticks(...x, width < 300 ? 5 : 6)) {
    axes.append(svg("line", { class: "grid", x1: toX(value), x2: toX(value), y1: top, y2: height - bottom }));
    text({ x: toX(value), y: height - bottom + 14, "text-anchor": "middle" }, plain(value));
  }
  for (const value of heights) {
    axes.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: toY(value), y2: toY(value) }));
    text({ x: left - 5, y: toY(value) + 4, "text-anchor": "end" }, plain(value));
  }
  axes.append(svg("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - right}` }));
  text({ x: (left + width - right) / 2, y: height - 5, "text-anchor": "middle", class: "mute" }, xLabel);
  text({ x: 2, y: 11, class: "mute" }, yLabel);
  const clip = svg(
    "clipPath",
    { id: `${node.id}-clip` },
    svg("rect", { x: left, y: top - 4, width: width - left - right + 6, height: height - top - bottom + 4 }),
  );
  const marks = svg("g", { "clip-path": `url(#${node.id}-clip)` });
  node.replaceChildren(clip, axes, marks);
  return { toX, toY, fromX, marks };
}

const path = (points, attributes) =>
  svg("path", {
    fill: "none",
    "stroke-width": 2,
    d: "M" + points.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L"),
    ...attributes,
  });

/** Ends of an axis that holds all values, with some space. */
function ends(values, space = 0.06) {
  const low = Math.min(...values),
    high = Math.max(...values),
    more = (high - low || 1) * space;
  return [low - more, high + more];
}

const charts = {};

function drawCharts(now) {
  drawLosses();
  drawPredictions(now);
}

/** The curve is drawn once for each width; then only the point moves. */
function drawLosses() {
  const node = byId("loss-chart"),
    key = node.clientWidth;
  if (charts.lossKey !== key) buildLosses(node);
  charts.lossKey = key;
  if (!charts.lossAt) return;
  const [x, y] = charts.lossAt(Math.max(state.position, 1));
  fill(charts.lossPoint, { cx: x, cy: y }, []);
}

function buildLosses(node) {
  if (!LOSSES.length) return;
  const logY = LOSSES.every((loss) => loss > 0);
  const y = logY ? [Math.min(...LOSSES) / 1.15, Math.max(...LOSSES) * 1.15] : ends(LOSSES);
  const last = EPOCHS[EPOCHS.length - 1];
  const { toX, toY, fromX, marks } = chart(node, {
    x: [0, Math.max(last, 2)],
    y,
    logY,
    xLabel: "epoch",
    yLabel: "loss",
  });
  charts.epochAt = fromX;
  marks.append(
    path(
      [...LOSSES].map((loss, k) => [toX(EPOCHS[k + 1]), toY(loss)]),
      { stroke: "var(--positive)" },
    ),
  );
  charts.lossAt = (position) => [toX(EPOCHS[position]), toY(LOSSES[position - 1])];
  charts.lossPoint = svg("circle", { r: 5, fill: "var(--selected)" });
  marks.append(charts.lossPoint);
  describe(node, `Loss of epochs 1 to ${last}, from ${write(LOSSES[0])} to ${write(LOSSES[LOSSES.length - 1])}`);
}

function drawPredictions({ shown, values }) {
  const node = byId("prediction-chart"),
    targets = shown.y.data,
    predictions = shown.y_pred.data;
  const y = ends([...targets, ...values.y_pred.data].map((value) => Math.round(value)));
  const x = ends(targets);
  const { toX, toY, marks } = chart(node, { x, y, xLabel: "target y", yLabel: "prediction" });
  drawDiagonal(marks, x, y, toX, toY);
  charts.points = [...targets].map((target, row) => ({ x: toX(target), y: toY(predictions[row]), row }));
  // All points as one path of lines without length, which is quick to draw.
  const dots = charts.points.map(({ x, y }) => `M${x.toFixed(1)} ${y.toFixed(1)}h0`).join("");
  marks.append(
    svg("path", {
      d: dots,
      stroke: "var(--positive)",
      "stroke-opacity": 0.65,
      "stroke-width": 7,
      "stroke-linecap": "round",
    }),
  );
  const { x: cx, y: cy } = charts.points[state.at.row];
  marks.append(svg("circle", { cx, cy, r: 6, fill: "var(--selected)", stroke: "var(--panel)", "stroke-width": 1.5 }));
  describe(
    node,
    `Predictions against targets of ${ROWS} rows; row ${state.at.row}: target ${write(targets[state.at.row])}, prediction ${write(predictions[state.at.row])}`,
  );
}

/** The line on which a prediction is its target, within the axes. */
function drawDiagonal(marks, x, y, toX, toY) {
  const low = Math.max(x[0], y[0]),
    high = Math.min(x[1], y[1]);
  if (low >= high) return;
  marks.append(
    path(
      [low, high].map((value) => [toX(value), toY(value)]),
      { stroke: "var(--muted)", "stroke-dasharray": "5 4", "stroke-width": 1 },
    ),
    svg(
      "text",
      { x: toX(x[1]) - 4, y: toY(y[0]) - 4, "text-anchor": "end", class: "mute small halo" },
      "dashed: prediction = y",
    ),
  );
}

/** Call `action` where the pointer is pressed, and as it moves. */
function onDrag(node, action) {
  node.style.touchAction = "pan-y";
  node.addEventListener("pointerdown", (event) => {
    node.setPointerCapture(event.pointerId);
    action(event);
  });
  node.addEventListener("pointermove", (event) => event.buttons && action(event));
}

/** Say in words what a chart shows. */
function describe(node, text) {
  if (state.playing) return;
  node.setAttribute("role", "img");
  node.setAttribute("aria-label", text);
}

function startCharts() {
  const losses = byId("loss-chart"),
    predictions = byId("prediction-chart");
  onDrag(losses, (event) => charts.epochAt && update(toEpoch(Math.round(charts.epochAt(pointIn(losses, event).x)))));
  predictions.style.cursor = losses.style.cursor = "pointer";
  predictions.addEventListener("click", (event) => {
    const { x, y } = pointIn(predictions, event);
    const away = charts.points.map((point) => Math.hypot(point.x - x, point.y - y));
    const row = away.indexOf(Math.min(...away));
    if (isDrawn) select(isBackward() ? "grad_y_pred" : "y_pred", [row, 0]);
    else update({ at: { row } });
  });
}
