// The controls, the keyboard and the foot of the page.

/** The change to an epoch by its number: to the nearest that is recorded. */
function toEpoch(epoch) {
  const away = EPOCHS.map((other) => Math.abs(other - epoch));
  return { position: away.indexOf(Math.min(...away)) };
}

function drawControls({ values, shown }) {
  const epoch = EPOCHS[state.position],
    number = byId("epoch"),
    row = byId("row");
  byId("slider").value = state.position;
  byId("slider").setAttribute("aria-valuetext", `epoch ${epoch}`);
  if (number !== document.activeElement) number.value = epoch;
  if (row !== document.activeElement) row.value = state.at.row;
  byId("play").textContent = state.playing ? "❚❚ Pause" : "▶ Play";
  const loss = isDrawn ? get(shown.loss) : LOSSES[Math.max(state.position, 1) - 1];
  byId("loss").textContent =
    loss === undefined ? "" : `Loss ${write(loss)}${state.nudge === null ? "" : " (nudged)"}`;
  byId("problem").textContent = state.problem;
  const weights =
    epoch === 1
      ? "the initial weights, which epoch 0 shows"
      : `the weights after ${epoch - 1} ${epoch === 2 ? "step" : "steps"}`;
  byId("epoch-meaning").textContent = epoch
    ? `Epoch ${epoch}: forward pass, backward pass and step ${epoch}, from ${weights}.`
    : "Epoch 0: the initial weights, before any step. Epoch 1 starts from them, so both have the same loss.";
}

function startControls() {
  const last = EPOCHS[EPOCHS.length - 1],
    slider = byId("slider"),
    row = ROWS - 1;
  slider.max = EPOCHS.length - 1;
  byId("epoch-count").textContent = `of 0–${last}`;
  byId("row-count").textContent = `of 0–${row}`;
  slider.addEventListener("input", () => update({ position: slider.valueAsNumber }));
  startField(byId("epoch"), "Epoch", last, () => EPOCHS[state.position], toEpoch);
  startField(byId("row"), "Row", row, () => state.at.row, (row) => ({ at: { row } }));
  byId("play").addEventListener("click", () => play(!state.playing));
  for (const radio of document.querySelectorAll("[name=view]")) {
    radio.addEventListener("change", () => setView(radio.value));
  }
  document.addEventListener("keydown", onKey);
}

/** Show a pass, and go on from what is selected to its gradient, or back. */
function setView(view) {
  const base = baseOf(state.name),
    name = view === "backward" ? `grad_${base}` : base;
  update({ view, name: name in STEPS || PARAMETERS.includes(name) ? name : state.name });
  sendSignal();
}

function onKey(event) {
  const isField = event.target.matches("input, select, textarea, [contenteditable]");
  if (isField || event.altKey || event.ctrlKey || event.metaKey) return;
  const last = EPOCHS.length - 1;
  const places = { ArrowLeft: state.position - 1, ArrowRight: state.position + 1, Home: 0, End: last };
  if (event.key in places) update({ position: Math.max(0, Math.min(last, places[event.key])) });
  else if (event.key === " " && !event.target.matches("button, summary")) play(!state.playing);
  else return;
  event.preventDefault();
}

/** The row with the largest error, and the unit with the largest gradient there, as in `jaxmlp explain`. */
function selectFirst() {
  const { values } = current();
  const most = (data) => data.reduce((best, value, k) => (Math.abs(value) > Math.abs(data[best]) ? k : best), 0);
  const at = { row: most(values.y_pred.data.map((value, i) => value - values.y.data[i])) };
  for (let layer = 1; isDrawn && layer < LAST; layer++) {
    const { columns, data } = values[`grad_${LAYERS[layer].before}`];
    at[layer] = most(data.slice(at.row * columns, (at.row + 1) * columns));
  }
  state.parameter = WEIGHT_NAMES[0];
  update({ at });
}

function start() {
  const [inputs, ...hidden] = PAGE.sizes.slice(0, -1),
    units = hidden.join(" + ");
  const layers = hidden.length ? `${units} hidden units (${PAGE.activation})` : "no hidden layer";
  byId("intro").textContent =
    `${inputs} inputs, ${layers}, 1 output, ${ROWS} rows. Press Play, then click ${isDrawn ? "a unit, an edge or a row" : "an epoch or a row"}.`;
  byId("notes").append(...PAGE.notes.map((text) => element("li", {}, text)));
  byId("notes").hidden = PAGE.notes.length === 0;
  byId("about").textContent =
    `jaxmlp ${PAGE.version}: ${PAGE.command}. Learning rate ${PAGE.learning_rate}, sum of squared errors, gradient descent on all rows. After S. Keydana's tutorial for torch for R.`;
  document.body.classList.toggle("large", !isDrawn);
  startControls();
  startCharts();
  startSmall();
  if (!isDrawn) byId("agreement").textContent = "Nothing is computed in the page for a network of this size.";
  else {
    startNetwork();
    startNudge();
    buildLines();
    buildNames();
    checkAllEpochs((worst) => (byId("agreement").textContent = agreementText(worst)));
  }
  selectFirst();
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    if (isDrawn) buildNetwork();
    update({});
  });
}

function agreementText({ jax, python, loss, undecided, entries }) {
  const kink = hasKinks
    ? ` ${undecided} of ${entries} values before activation lie within ${STEP_NAME} of the kink of relu: there, central differences are undecided.`
    : "";
  return (
    `At all epochs shown, from 0 to ${EPOCHS[EPOCHS.length - 1]}, relative to the largest entry of each array. This page against jax.grad, gradients of weights and biases: ` +
    `${roughly(jax)} (jax.grad's values are stored with 7 digits). Python by hand against jax.grad, all gradients, both in float64: ${roughly(python)}. ` +
    `Loss, this page against Python: ${roughly(loss)}.${kink} Each gradient is compared with central differences where it is explained.`
  );
}

start();
