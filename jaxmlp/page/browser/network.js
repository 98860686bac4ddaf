// The drawing of the network: edges by sign and size, units by value; a click selects what is nearest.

// The result before and after the activation of each layer; the inputs and the prediction have one only.
const LAYERS = [{ before: "x", after: "x" }];
for (const { name, kind } of PAGE.steps) {
  if (kind === "dense") LAYERS.push({ before: name, after: name });
  if (kind === "activation") LAYERS[LAYERS.length - 1].after = name;
}
const LAST = LAYERS.length - 1;
const WEIGHT_NAMES = PARAMETERS.filter((name) => name[0] === "w");
const WEIGHT_SCALE = Object.fromEntries(WEIGHT_NAMES.map((name) => [name, largest(WEIGHTS[name])]));

const drawing = { units: [], edges: [], hovered: null };

const isBackward = () => state.view === "backward";

/** The result that a unit, or an edge, shows in this view. */
const unitResult = (layer) => (isBackward() && layer > 0 ? `grad_${LAYERS[layer].before}` : LAYERS[layer].after);
const edgeResult = (name) => (isBackward() ? `grad_${name}` : name);

/** What a click on a unit explains: h, whose terms are a sum, rather than h_relu. */
const explainedResult = (layer) => (isBackward() ? unitResult(layer) : LAYERS[layer].before);

function layerTitle(layer) {
  if (layer === 0) return "inputs x";
  if (layer === LAST) return "prediction";
  return LAST === 2 ? `hidden units ${LAYERS[layer].before}` : `units ${LAYERS[layer].before}`;
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
  const left = narrow ? 34 : 56,
    right = narrow ? 112 : 190;
  const place = (layer) => left + ((width - left - right) * layer) / LAST;
  drawing.units = [];
  drawing.edges = [];
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
    for (const item of unitsOf(layer)) units.append(buildUnit(item, narrow));
    const title = svg("text", { x: place(layer), y: 14, "text-anchor": "middle", class: "mute" });
    title.textContent = layerTitle(layer);
    units.append(title);
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

function buildUnit(item, narrow) {
  const { x, y, radius, spacing, layer, unit } = item;
  const d = radius * 0.6,
    isHidden = layer > 0 && layer < LAST;
  item.circle = svg("circle", { cx: x, cy: y, r: radius });
  item.cross = svg("path", {
    class: "cross",
    d: `M${x - d} ${y - d}l${2 * d} ${2 * d}m0 ${-2 * d}l${-2 * d} ${2 * d}`,
  });
  item.label = isHidden
    ? svg("text", { x: x + radius + 4, y: y + 4, class: `halo ${spacing < 16 ? "small" : ""}` })
    : svg("text", { x, y: y + radius + 14, "text-anchor": "middle", class: "halo" });
  // The number beside a unit belongs to what can be clicked.
  const size = Math.min(spacing, 2 * radius + 8),
    right = isHidden ? radius + 22 : size / 2;
  const area = svg("rect", {
    x: x - size / 2,
    y: y - size / 2,
    width: size / 2 + right,
    height: size,
    fill: "transparent",
  });
  item.node = svg("g", { class: "unit", role: "button", tabindex: -1 }, area, item.circle, item.cross, item.label);
  if (!isHidden) {
    const name = svg("text", { x, y: y - radius - 5, "text-anchor": "middle", class: "halo" });
    name.textContent = layer === 0 ? `x[·, ${unit}]` : narrow ? "y_pred" : "y_pred[·, 0]";
    item.node.append(name);
  }
  item.node.addEventListener("keydown", (event) => moveFocus(event, item));
  return item.node;
}

/** The loss, at the right of the prediction. */
function buildLoss(width, height, narrow, prediction) {
  const x = width - (narrow ? 34 : 60),
    y = prediction.y;
  drawing.lossEdge = svg("line", { class: "edge", x1: prediction.x, y1: y, x2: x, y2: y, stroke: "var(--muted)" });
  const title = svg("text", { x, y: y - 24, "text-anchor": "middle", class: "halo" });
  title.textContent = "loss";
  drawing.lossValue = svg("text", { x, y: y + 36, "text-anchor": "middle", class: "halo" });
  drawing.target = svg("text", { x: prediction.x, y: y + 45, "text-anchor": "middle", class: "halo mute" });
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
  return svg("g", { class: "stage" }, drawing.lossEdge, shape, title, drawing.lossValue, drawing.target);
}

/** Let the layers appear in the order in which this pass computes them. */
function sendSignal() {
  const order = isBackward() ? [...drawing.groups].reverse() : drawing.groups;
  order.forEach((group, stage) => {
    group.classList.remove("arriving");
    group.style.setProperty("--stage", stage);
  });
  byId("network").getBoundingClientRect(); // so that the animation starts anew
  order.forEach((group) => group.classList.add("arriving"));
}

/** A colour by sign, fuller for larger values. */
function colour(value, scale) {
  if (!value || !scale) return "var(--panel)";
  const share = Math.min(100, 10 + (90 * Math.abs(value)) / scale);
  return `color-mix(in srgb, ${hue(value)} ${share.toFixed(1)}%, var(--panel))`;
}

const hue = (value) => (value < 0 ? "var(--negative)" : "var(--positive)");

function drawNetwork({ shown }) {
  const row = state.at.row,
    selected = selectedEdge();
  const scales = LAYERS.map((_, layer) => {
    const result = unitResult(layer);
    return largest(range(PAGE.sizes[layer]).map((j) => get(shown[result], row, j)));
  });
  const dead = LAYERS.map(({ before }, k) => (k > 0 && k < LAST ? deadUnits(shown[before]) : []));
  for (const item of drawing.units) drawUnit(item, shown, scales[item.layer], dead[item.layer][item.unit]);
  const edgeScales = WEIGHT_NAMES.map((name) =>
    isBackward() ? largest(shown[`grad_${name}`].data) : WEIGHT_SCALE[name],
  );
  const single = LAST === 1 || drawing.edges.length < 40;
  for (const edge of drawing.edges) {
    const { name, index, line, layer, from, to } = edge,
      value = get(shown[edgeResult(name)], ...index);
    edge.near = single || [from, to].some(({ layer, unit }) => layer > 0 && layer < LAST && state.at[layer] === unit);
    line.setAttribute("stroke", hue(value));
    line.setAttribute("stroke-width", (0.3 + (4 * Math.abs(value)) / (edgeScales[layer - 1] || 1)).toFixed(2));
    line.setAttribute("stroke-opacity", value === 0 ? 0.08 : edge.near ? 1 : 0.28);
    line.setAttribute("stroke-dasharray", value < 0 ? "5 3" : "none");
  }
  drawing.halo.setAttribute("visibility", selected ? "visible" : "hidden");
  if (selected) {
    for (const name of ["x1", "y1", "x2", "y2"]) drawing.halo.setAttribute(name, selected.line.getAttribute(name));
    drawing.halo.setAttribute("stroke-width", 4 + Number(selected.line.getAttribute("stroke-width")));
  }
  const isLoss = state.name === "loss";
  drawing.loss.shape.setAttribute("stroke", isLoss ? "var(--selected)" : "var(--muted)");
  drawing.loss.shape.setAttribute("stroke-width", isLoss ? 3 : 1);
  drawing.lossValue.textContent = write(get(shown.loss));
  drawing.target.textContent = isBackward() ? "" : `y = ${write(get(shown.y, row))}`;
  byId("network-title").textContent = isBackward()
    ? `Backward pass, row ${row}: from the loss to the inputs ←`
    : `Forward pass, row ${row}: from the inputs to the loss →`;
  byId("legend").textContent = legend(dead);
  drawHovered({ shown });
  byId("nudged").hidden = state.nudge === null;
  if (state.nudge !== null) {
    const { parameter } = state,
      name = entryName(parameter, indexOf(parameter));
    byId("nudged").textContent =
      `Network and predictions are drawn with ${name} = ${write(state.nudge)}. The numbers explained are those of the epoch.`;
  }
}

function drawUnit(item, shown, scale, isDead) {
  const { layer, unit } = item,
    result = unitResult(layer),
    row = state.at.row;
  const hasGradient = !(isBackward() && layer === 0);
  const value = get(shown[result], row, unit),
    isChosen = state.at[layer] === unit;
  const isSelected = isChosen && (layer === 0 || layer === LAST ? axesOf(state.name).includes(layer) : true);
  item.circle.style.fill = hasGradient ? colour(value, scale) : "var(--panel)";
  item.node.setAttribute("class", `unit ${isSelected ? "selected" : ""} ${isDead ? "dead" : ""}`);
  const isHidden = layer > 0 && layer < LAST;
  if (isHidden) {
    const number = item.spacing >= 11 || isSelected ? String(unit) : "";
    item.label.textContent = isSelected ? `${unit}: ${write(value)}` : number;
    item.label.style.fontWeight = isSelected ? "700" : "";
  } else item.label.textContent = write(value);
  if (state.playing) return; // Nobody can listen to twenty descriptions a second.
  item.node.setAttribute("tabindex", isChosen ? 0 : -1); // Tab goes from layer to layer.
  const description = isDead ? ", dead: below 0 for all rows" : "";
  item.node.setAttribute(
    "aria-label",
    `${unitTitle(layer, unit)}: ${entryName(result, [row, unit])} = ${write(value)}${description}`,
  );
}

/** The edge that the result that is explained belongs to, or undefined. */
function selectedEdge() {
  const base = baseOf(state.name);
  if (!WEIGHT_NAMES.includes(base)) return undefined;
  const [p, j] = indexOf(base);
  return drawing.edges.find(({ name, index }) => name === base && index[0] === p && index[1] === j);
}

function legend(dead) {
  const count = dead.flat().filter(Boolean).length;
  const crosses = count ? ` × marks ${count} dead ${count === 1 ? "unit" : "units"}: below 0 for all rows.` : "";
  const signs = "Blue is positive, orange and dashed is negative. ";
  if (!isBackward()) {
    const off = hasKinks ? " An empty unit is off: h < 0 for this row, so its activation is 0." : "";
    return `${signs}Edges: weights. Units: values for row ${state.at.row}.${off}${crosses}`;
  }
  const off = hasKinks ? " An empty unit has gradient 0, because it is off for this row: h < 0." : "";
  return `${signs}Edges: gradients of the weights, summed over all rows. Units: gradients for row ${state.at.row}; inputs need none.${off}${crosses}`;
}
