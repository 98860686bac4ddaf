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
  if (touched) return { name: explainedResult(touched.layer), index: [state.at.row, touched.unit] };
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
  select(explainedResult(item.layer), [state.at.row, unit]);
  drawing.units.find((other) => other.layer === item.layer && other.unit === unit).node.focus();
}

/** Write the number under the pointer below the network. */
function drawHovered({ shown }) {
  const found = drawing.hovered;
  byId("hover").textContent = found
    ? `${entryName(found.name, found.index)} = ${write(get(shown[found.name], ...found.index))}`
    : "Click a unit or an edge.";
}

function startNetwork() {
  const node = byId("network");
  node.addEventListener("click", (event) => {
    const found = nearest(event);
    if (found) select(found.name, found.index);
  });
  node.addEventListener("pointermove", (event) => {
    drawing.hovered = nearest(event);
    drawHovered(current());
  });
  node.addEventListener("pointerleave", () => {
    drawing.hovered = null;
    drawHovered(current());
  });
  buildNetwork();
}
