// The parts of the network's drawing: units, edges, the loss and their names, placed for the width of the panel.

// The result before and after the activation of each layer; the inputs and the prediction have one only.
const LAYERS = [{ before: "x", after: "x" }];
for (const { name, kind } of PAGE.steps) {
  if (kind === "dense") LAYERS.push({ before: name, after: name });
  if (kind === "activation") LAYERS[LAYERS.length - 1].after = name;
}
const LAST = LAYERS.length - 1;
const WEIGHT_NAMES = PARAMETERS.filter((name) => name[0] === "w");

const drawing = { units: [], edges: [], titles: [], hovered: null, isUsed: false };

const isBackward = () => state.view === "backward";
const isHidden = (layer) => layer > 0 && layer < LAST;

/** The result that a unit, or an edge, shows in this view. */
const unitResult = (layer) => (isBackward() && layer > 0 ? `grad_${LAYERS[layer].before}` : LAYERS[layer].after);
const edgeResult = (name) => (isBackward() ? `grad_${name}` : name);

function layerTitle(layer) {
  if (layer === LAST) return "prediction";
  if (layer > 0 && drawing.isNarrow) return unitResult(layer);
  return `${layer === 0 ? "inputs" : LAST === 2 ? "hidden units" : "units"} ${unitResult(layer)}`;
}

function unitTitle(layer, unit) {
  if (layer === LAST) return "prediction";
  if (layer === 0) return `input ${unit}`;
  return LAST === 2 ? `hidden unit ${unit}` : `unit ${unit} of hidden layer ${layer}`;
}

/** Make the elements anew, for the width of the panel. */
function buildNetwork() {
  const node = byId("network"),
    width = node.clientWidth || 600,
    narrow = width < 500,
    height = 470;
  node.setAttribute("viewBox", `0 0 ${width} ${height}`);
  node.setAttribute("height", height);
  const left = narrow ? 44 : 66,
    right = narrow ? 124 : 190;
  const place = (layer) => left + ((width - left - right) * layer) / LAST;
  drawing.isNarrow = narrow;
  drawing.units = [];
  drawing.edges = [];
  drawing.titles = [];
  const groups = [];
  PAGE.sizes.forEach((size, layer) => {
    const spacing = Math.min(110, (height - 50) / size),
      radius = Math.max(2.5, Math.min(15, spacing * 0.42));
    for (let unit = 0; unit < size; unit++) {
      const x = place(layer),
        y = 36 + (height - 50) / 2 + (unit - (size - 1) / 2) * spacing;
      drawing.units.push({ layer, unit, x, y, radius, spacing });
    }
  });
  const unitsOf = (layer) => drawing.units.filter((unit) => unit.layer === layer);
  for (let layer = 0; layer <= LAST; layer++) {
    const edges = svg("g", { class: "stage" }),
      units = svg("g", { class: "stage" });
    for (const from of layer ? unitsOf(layer - 1) : []) {
      for (const to of unitsOf(layer)) {
        const line = svg("line", { class: "edge", x1: from.x, y1: from.y, x2: to.x, y2: to.y });
        drawing.edges.push({ name: WEIGHT_NAMES[layer - 1], index: [from.unit, to.unit], layer, from, to, line });
        edges.append(line);
      }
    }
    for (const item of unitsOf(layer)) units.append(buildUnit(item));
    drawing.titles.push(svg("text", { x: place(layer), y: 14, "text-anchor": "middle", class: "mute" }));
    units.append(drawing.titles[layer]);
    groups.push(edges, units);
  }
  groups.push(buildLoss(width, height, narrow, unitsOf(LAST)[0]));
  drawing.halo = svg("line", { class: "edge", stroke: "var(--selected)", "stroke-opacity": 0.45 });
  drawing.groups = groups;
  // Edges first, so that units lie above them.
  node.replaceChildren(
    drawing.halo,
    ...groups.filter((_, k) => k % 2 === 0 && k < groups.length - 1),
    ...groups.filter((_, k) => k % 2 === 1 || k === groups.length - 1),
  );
}

function buildUnit(item) {
  const { x, y, radius, spacing, layer, unit } = item;
  const d = radius * 0.6;
  item.circle = svg("circle", { cx: x, cy: y, r: radius });
  item.cross = svg("path", {
    class: "cross",
    d: `M${x - d} ${y - d}l${2 * d} ${2 * d}m0 ${-2 * d}l${-2 * d} ${2 * d}`,
  });
  // Numbers and names of inputs and of the prediction stand outwards, away from the edges.
  const outwards = layer === 0 ? { x: x + radius, "text-anchor": "end" } : { x: x - radius, "text-anchor": "start" };
  item.label = isHidden(layer)
    ? svg("text", { x: x + radius + 4, y: y + 4, class: `halo ${spacing < 16 ? "small" : ""}` })
    : svg("text", { ...outwards, y: y + radius + 14, class: "halo" });
  // The number beside a unit belongs to what can be clicked.
  const size = Math.min(spacing, 2 * radius + 8),
    right = isHidden(layer) ? radius + 22 : size / 2;
  const area = svg("rect", {
    x: x - size / 2,
    y: y - size / 2,
    width: size / 2 + right,
    height: size,
    fill: "transparent",
  });
  item.node = svg("g", { class: "unit", role: "button", tabindex: -1 }, area, item.circle, item.cross, item.label);
  if (!isHidden(layer)) {
    item.name = svg("text", { ...outwards, y: y - radius - 5, class: "halo" });
    item.node.append(item.name);
  }
  item.node.addEventListener("keydown", (event) => moveFocus(event, item));
  return item.node;
}

/** The loss, at the right of the prediction. */
function buildLoss(width, height, narrow, prediction) {
  const x = width - (narrow ? 36 : 60),
    y = prediction.y;
  drawing.lossEdge = svg("line", { class: "edge", x1: prediction.x, y1: y, x2: x, y2: y, stroke: "var(--muted)" });
  const text = (from, content = "") =>
    svg("text", { x, y: y + from, "text-anchor": "middle", class: "halo" }, content);
  // On a phone, above the name of the prediction and below the target.
  const above = narrow ? -36 : -24,
    below = narrow ? 64 : 48;
  drawing.lossValue = text(30);
  drawing.rowLoss = text(below + 14);
  const texts = [text(above - 14, "loss,"), text(above, `all ${ROWS} rows`), drawing.lossValue, text(below, "this row:")];
  drawing.target = svg("text", { x: prediction.x - prediction.radius, y: y + 45, class: "halo mute" });
  const shape = svg("rect", {
    x: x - 15,
    y: y - 15,
    width: 30,
    height: 30,
    rx: 4,
    fill: "var(--panel)",
    stroke: "var(--muted)",
  });
  drawing.loss = { x, y, shape };
  // The edge ends at the circle, which is drawn by another group.
  drawing.lossEdge.setAttribute("x1", prediction.x + prediction.radius);
  return svg("g", { class: "stage" }, drawing.lossEdge, shape, ...texts, drawing.rowLoss, drawing.target);
}
