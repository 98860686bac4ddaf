// How the numbers of the page are checked: central differences here, and what Python and jax.grad computed.

const STEP = 1e-6,
  STEP_NAME = "1e-6"; // Of central differences. Nearer than this to the kink of relu, they decide nothing.
const FORWARD = PAGE.steps.slice(0, LAST_FORWARD); // All lines before the loss.

/** The errors y_pred - y of all rows, with one entry changed. */
function errorsWith(given, change) {
  const { y_pred, y } = computeEpoch(given, change, FORWARD);
  return y_pred.data.map((value, i) => value - y.data[i]);
}

/** The loss with one entry changed. */
const lossWith = (given, change) => errorsWith(given, change).reduce((total, error) => total + error * error, 0);

/** The slope of the loss with respect to an entry of a parameter or of a result, from two forward passes. */
function centralDifference(values, given, name, index) {
  const value = get(values[name], ...index);
  const [up, down] = [STEP, -STEP].map((step) => errorsWith(given, { name, index, value: value + step }));
  // a² - b² = (a - b) (a + b), row by row: less rounding than a difference of two large sums.
  return sum(up.length, (i) => (up[i] - down[i]) * (up[i] + down[i])) / (2 * STEP);
}

/** Whether an entry is so near to the kink of relu that the slope there is undecided. */
const isUndecided = (values, name, index) =>
  isRelu && STEPS[name]?.kind === "dense" && name !== "y_pred" && Math.abs(get(values[name], ...index)) < STEP;

/** Units of a layer that are off for every row: no gradient reaches their weights. */
function deadUnits(h) {
  if (!isRelu) return range(h.columns).map(() => false);
  return range(h.columns).map((j) => range(h.rows).every((i) => get(h, i, j) < 0));
}

const LOSS64 = decode(PAGE.loss64, Float64Array);
const WORST = Object.fromEntries(Object.entries(PAGE.worst).map(([name, text]) => [name, decode(text)]));

/** Largest difference from jax.grad, relative to the largest entry of the array, of one gradient at one epoch. */
function differenceFromJax(values, name, position) {
  const expected = slice(JAX_GRAD[name], position);
  const difference = largest(values[name].data.map((value, k) => value - expected[k]));
  return difference === 0 ? 0 : difference / largest(expected);
}

/** How far page, Python and jax.grad agree over all epochs. It computes some epochs at a time: `report` gets the text. */
function checkAllEpochs(report) {
  const worst = { jax: 0, python: Math.max(...Object.values(WORST).map(largest)), loss: 0, undecided: 0, entries: 0 };
  const hidden = PAGE.steps.filter(({ name, kind }) => kind === "dense" && name !== "y_pred").map(({ name }) => name);
  let position = 0;
  const some = () => {
    const until = performance.now() + 12;
    for (; position < PAGE.epochs.length && performance.now() < until; position++) {
      const values = computeEpoch(givenAt(position));
      for (const name of Object.keys(JAX_GRAD))
        worst.jax = Math.max(worst.jax, differenceFromJax(values, name, position));
      worst.loss = Math.max(worst.loss, Math.abs(get(values.loss) / LOSS64[position] - 1) || 0);
      for (const name of isRelu ? hidden : []) {
        worst.entries += values[name].data.length;
        worst.undecided += values[name].data.filter((value) => Math.abs(value) < STEP).length;
      }
    }
    if (position < PAGE.epochs.length) return setTimeout(some, 30);
    report(worst);
  };
  some();
}
