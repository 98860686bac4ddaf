// Nudge a weight: the loss against it, with the gradient by hand as the tangent.

function drawNudge({ given, values, shown }) {
  const { parameter } = state,
    index = indexOf(parameter),
    name = entryName(parameter, index);
  const start = get(given[parameter], ...index),
    reach = Math.max(1, Math.abs(start));
  // While playing, fewer points: each costs a forward pass, and so does each frame.
  const pieces = state.playing ? (drawing.edges.length > 400 ? 6 : 16) : 80,
    key = [state.position, name, pieces].join();
  if (charts.nudgeKey !== key) {
    charts.nudgeKey = key;
    charts.curve = range(pieces + 1).map((k) => {
      const value = start + reach * ((2 * k) / pieces - 1);
      return [value, lossWith(given, { name: parameter, index, value })];
    });
  }
  const slope = get(values[`grad_${parameter}`], ...index),
    loss = get(values.loss),
    value = state.nudge ?? start;
  const tangent = (at) => loss + slope * (at - start);
  const node = byId("nudge-chart");
  const { toX, toY, fromX, marks } = chart(node, {
    x: [start - reach, start + reach],
    y: ends(charts.curve.map(([, height]) => height)),
    xLabel: name,
    yLabel: "loss",
    height: 200,
  });
  charts.valueAt = fromX;
  marks.append(
    path(
      charts.curve.map(([at, height]) => [toX(at), toY(height)]),
      { stroke: "var(--positive)" },
    ),
  );
  marks.append(
    path(
      [start - reach, start + reach].map((at) => [toX(at), toY(tangent(at))]),
      { stroke: "var(--negative)", "stroke-dasharray": "6 3" },
    ),
  );
  marks.append(svg("circle", { cx: toX(start), cy: toY(loss), r: 4, fill: "var(--text)" }));
  marks.append(
    svg("circle", { cx: toX(value), cy: toY(get(shown.loss)), r: 8, fill: "var(--selected)", class: "handle" }),
  );
  byId("nudge-name").textContent = `drag ${name}`;
  const slider = byId("nudge");
  Object.assign(slider, { min: start - reach, max: start + reach });
  slider.value = value;
  slider.setAttribute("aria-valuetext", `${name} = ${write(value)}, loss ${write(get(shown.loss))}`);
  byId("nudge-text").textContent =
    state.nudge === null
      ? `Blue: the loss if only ${name} changes. Dashed orange: the tangent. Its slope is the gradient by hand, grad_${name} = ${write(slope)}.`
      : `${name} from ${write(start)} to ${write(value)}: the loss goes from ${write(loss)} to ${write(get(shown.loss))}; the tangent says ${write(tangent(value))}.`;
  describe(node, `Loss against ${name}, with the tangent at ${write(start)}`);
}

function startNudge() {
  const node = byId("nudge-chart"),
    slider = byId("nudge");
  node.style.cursor = "ew-resize";
  onDrag(node, (event) => {
    const value = charts.valueAt(pointIn(node, event).x);
    update({ nudge: Math.max(Number(slider.min), Math.min(Number(slider.max), value)) });
  });
  slider.addEventListener("input", () => update({ nudge: Number(slider.value) }));
  byId("nudge-reset").addEventListener("click", () => update({ nudge: null }));
}
