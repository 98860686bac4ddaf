// The network of the selected epoch, row and view: colours and widths, what is selected, and the legend.

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

/** Whether the number that is explained has a unit among its indices. */
const isSelected = ({ layer, unit }) => state.at[layer] === unit && axesOf(state.name).includes(layer);

/** What the fullest colour of a layer stands for: predictions are compared with the targets of all rows. */
function unitScale(layer, shown) {
  if (layer === LAST && !isBackward()) return largest(Y.data);
  return largest(range(PAGE.sizes[layer]).map((unit) => get(shown[unitResult(layer)], state.at.row, unit)));
}

const WEIGHT_SCALE = WEIGHT_NAMES.map((name) => largest(WEIGHTS[name])); // over all epochs

function drawNetwork({ shown }) {
  const row = state.at.row,
    selected = selectedEdge();
  const scales = LAYERS.map((_, layer) => unitScale(layer, shown));
  const dead = LAYERS.map(({ before }, k) => (isHidden(k) ? deadUnits(shown[before]) : []));
  for (const item of drawing.units) drawUnit(item, shown, scales[item.layer], dead[item.layer][item.unit]);
  const edgeScales = isBackward() ? WEIGHT_NAMES.map((name) => largest(shown[`grad_${name}`].data)) : WEIGHT_SCALE;
  const all = drawing.edges.length < 40,
    hasHidden = axesOf(state.name).some(isHidden);
  drawing.titles.forEach((title, layer) => (title.textContent = layerTitle(layer)));
  for (const edge of drawing.edges) {
    const { name, index, line, layer, from, to } = edge,
      value = get(shown[edgeResult(name)], ...index);
    edge.near = all || [from, to].some((unit) => isSelected(unit) && (isHidden(unit.layer) || !hasHidden));
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
  drawing.rowLoss.textContent = write(squaredError(shown.y_pred, shown.y, row));
  drawing.target.textContent = isBackward() ? "" : `y = ${write(get(shown.y, row))}`;
  byId("network-title").textContent = isBackward()
    ? `Backward pass, row ${row}: from the loss to the inputs ←`
    : `Forward pass, row ${row}: from the inputs to the loss →`;
  byId("legend").textContent = legend(dead);
  drawHovered({ shown });
}

function drawUnit(item, shown, scale, isDead) {
  const { layer, unit } = item,
    result = unitResult(layer),
    row = state.at.row;
  const hasGradient = !(isBackward() && layer === 0);
  const value = get(shown[result], row, unit),
    isRinged = isSelected(item);
  item.circle.style.fill = hasGradient ? colour(value, scale) : "var(--panel)";
  const classes = [isRinged && "selected", isDead && "dead", !hasGradient && "given"];
  item.node.setAttribute("class", ["unit", ...classes.filter(Boolean)].join(" "));
  if (isHidden(layer)) {
    const number = item.spacing >= 11 || isRinged ? String(unit) : "";
    item.label.textContent = isRinged ? `${unit}: ${write(value)}` : number;
    item.label.style.fontWeight = isRinged ? "700" : "";
  } else {
    item.label.textContent = write(value);
    item.name.textContent = layer === 0 ? `x[·, ${unit}]` : result;
  }
  if (state.playing) return; // Nobody can listen to twenty descriptions a second.
  item.node.setAttribute("tabindex", state.at[layer] === unit ? 0 : -1); // Tab goes from layer to layer.
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
  const marked = count ? `× marks ${count} dead ${count === 1 ? "unit" : "units"}: below 0 for all rows.` : "";
  const crosses = hasKinks ? ` ${marked || "No unit is dead (below 0 for all rows) at this epoch."}` : "";
  const signs = "Blue is positive, orange and dashed is negative. ";
  if (!isBackward()) {
    const off = hasKinks ? " An empty unit is off: h < 0 for this row, so its activation is 0." : "";
    return `${signs}Edges: weights, on one scale for all epochs. Units: values for row ${state.at.row}.${off}${crosses}`;
  }
  const off = hasKinks ? " An empty unit has gradient 0, because it is off for this row: h < 0." : "";
  return `${signs}Edges: gradients of the weights, summed over all rows, on the scale of this epoch. Units: gradients for row ${state.at.row}; inputs need none.${off}${crosses}`;
}
