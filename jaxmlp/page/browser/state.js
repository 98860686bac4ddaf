// What the reader has selected, and the drawing of it. `update` is the only way to change it.

const EPOCHS = PAGE.epochs;
const isDrawn = PAGE.steps.length > 0; // Without lines, the network is too large, and losses and predictions are all.
const LOSSES = decode(PAGE.losses); // of EPOCHS without epoch 0, as the training logged them
const PREDICTIONS = decode(PAGE.predictions);

const state = {
  position: Math.min(1, EPOCHS.length - 1), // of the slider: an index of EPOCHS
  view: "forward",
  name: PAGE.steps[0]?.name, // the result that is explained …
  at: { row: 0, one: 0 }, // … at this row and at these units, one for each layer
  parameter: null, // the weight or bias to nudge
  nudge: null, // its value while it is nudged
  allTerms: false,
  problem: "", // what is wrong with a number that was typed
  playing: false,
};
PAGE.sizes.forEach((_, k) => (state.at[k] = 0));

const indexOf = (name) => axesOf(name).map((axis) => state.at[axis]);

const cache = {};

/** Every number of the selected epoch; `shown` has those with the nudged weight. */
function current() {
  if (cache.position !== state.position) {
    cache.position = state.position;
    cache.given = isDrawn ? givenAt(state.position) : {};
    cache.values = isDrawn
      ? computeEpoch(cache.given)
      : { y: Y, y_pred: matrix(ROWS, 1, slice(PREDICTIONS, state.position)) };
  }
  const { given, values } = cache;
  return { given, values, shown: state.nudge === null ? values : computeEpoch(given, nudgeChange()) };
}

const nudgeChange = () => ({ name: state.parameter, index: indexOf(state.parameter), value: state.nudge });

/** Change the selection, and draw it in the next frame. */
function update(changes) {
  const at = { ...state.at, ...changes.at };
  const moved = changes.name !== undefined || changes.at !== undefined || changes.position !== undefined;
  if (moved && !("nudge" in changes)) state.nudge = null;
  if (changes.name !== undefined && changes.name !== state.name) state.allTerms = false;
  Object.assign(state, { problem: "" }, changes, { at });
  if (PARAMETERS.includes(baseOf(state.name ?? ""))) state.parameter = baseOf(state.name);
  if (!update.pending) update.pending = requestAnimationFrame(draw);
}

/** Select a result at an index of it, such as select("grad_w1", [2, 7]). */
const select = (name, index) =>
  update({ name, at: Object.fromEntries(axesOf(name).map((axis, k) => [axis, index[k]])) });

const frames = []; // Milliseconds of script of each frame; the tests read it.

function draw() {
  update.pending = null;
  const start = performance.now();
  const now = current();
  drawControls(now);
  drawCharts(now);
  if (isDrawn) {
    drawNetwork(now);
    drawNudge(now);
    drawExplanation(now);
  }
  frames.push(performance.now() - start);
}

const PLAY_INTERVAL = 50; // milliseconds for each epoch

/** Start or stop; at the last epoch, start again from the first. */
function play(playing) {
  if (playing && state.position === EPOCHS.length - 1) update({ position: 0 });
  update({ playing });
  if (!playing || play.running) return;
  play.running = true;
  let last = performance.now();
  const next = (now) => {
    if (!state.playing || state.position >= EPOCHS.length - 1) {
      play.running = false;
      return update({ playing: false });
    }
    if (now - last >= PLAY_INTERVAL) {
      last = now;
      update({ position: state.position + 1 });
    }
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
}

/** Make an element of HTML, or of SVG with `svg`, with attributes and children. */
function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const byId = (id) => document.getElementById(id);
