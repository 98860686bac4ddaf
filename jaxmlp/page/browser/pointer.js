// The pointer and the keyboard on the drawing of the network.

/** Where a pointer is, in the coordinates of a drawing. */
function pointIn(node, event) {
  const box = node.getBoundingClientRect(),
    { width, height } = node.viewBox.baseVal;
  return { x: ((event.clientX - box.left) * width) / box.width, y: ((event.clientY - box.top) * height) / box.height };
}

/** The unit, edge or loss at or near a pointer: {name, index}, or null. */
function nearest(event) {
  const { x, y } = pointIn(byId("network"), event);
  const touched = drawing.units.find(({ node }) => node.contains(event.target));
  if (touched) return { name: unitResult(touched.layer), index: [state.at.row, touched.unit] };
  if (Math.abs(x - drawing.loss.x) < 24 && Math.abs(y - drawing.loss.y) < 24) return { name: "loss", index: [] };
  // Edges of the selected unit are drawn full, and are easier to hit.
  const distances = drawing.edges.map((edge) => distanceToSegment(x, y, edge.from, edge.to) + (edge.near ? 0 : 5));
  const edge = drawing.edges[distances.indexOf(Math.min(...distances))];
  return Math.min(...distances) < 12 ? { name: edgeResult(edge.name), index: edge.index } : null;
}

function distanceToSegment(x, y, from, to) {
  const dx = to.x - from.x,
    dy = to.y - from.y;
  const along = Math.max(0, Math.min(1, ((x - from.x) * dx + (y - from.y) * dy) / (dx * dx + dy * dy)));
  return Math.hypot(from.x + along * dx - x, from.y + along * dy - y);
}

/** Arrow keys up and down go through the units of a layer; Enter or space explains one. */
function moveFocus(event, item) {
  const steps = { ArrowUp: -1, ArrowDown: 1, Enter: 0, " ": 0 };
  if (!(event.key in steps)) return;
  event.preventDefault();
  event.stopPropagation();
  const size = PAGE.sizes[item.layer],
    unit = (item.unit + steps[event.key] + size) % size;
  select(unitResult(item.layer), [state.at.row, unit]);
  drawing.units.find((other) => other.layer === item.layer && other.unit === unit).node.focus();
}

/** Write below the network: the number under the pointer, what the keys do, or where the selection is explained. */
function drawHovered({ shown }) {
  const text = ({ name, index }) => `${entryName(name, index)} = ${write(get(shown[name], ...index))}`;
  const { name } = state,
    where = matchMedia("(max-width: 900px)").matches ? "explained below" : "explained on the right";
  if (drawing.hovered) byId("hover").textContent = text(drawing.hovered);
  else if (document.activeElement.matches(".unit:focus-visible"))
    byId("hover").textContent = "Up and down: unit. Left and right: epoch. Tab: layer.";
  else if (drawing.isUsed) byId("hover").textContent = `${text({ name, index: indexOf(name) })}, ${where}.`;
  else byId("hover").textContent = "Click a unit or an edge, or press Tab.";
}

function startNetwork() {
  const node = byId("network");
  node.addEventListener("click", (event) => {
    const found = nearest(event);
    if (!found) return;
    drawing.isUsed = true;
    select(found.name, found.index);
  });
  // Not on the drawing: with a listener for focus, it could be focused itself.
  for (const type of ["focusin", "focusout"]) byId("network-panel").addEventListener(type, () => update({}));
  node.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    drawing.hovered = nearest(event);
    drawHovered(current());
  });
  node.addEventListener("pointerleave", () => {
    drawing.hovered = null;
    drawHovered(current());
  });
  buildNetwork();
}
