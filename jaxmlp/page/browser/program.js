// The program of tutorial.py. PAGE.steps holds its lines in order, with their names; a line is of one of these kinds.
// Each kind says how its result is computed from its arguments, its formula, and the terms of one entry:
// [label, factors, value]. Factors are texts and entries of arrays. The arguments are those of the line of Python:
// h = x @ w1 + b1 is dense(x, w1, b1).

const KINDS = {
  dense: {
    compute: (a, w, b) =>
      build(a.rows, w.columns, (i, j) => sum(a.columns, (p) => get(a, i, p) * get(w, p, j)) + get(b, 0, j)),
    formula: (z, a, w, b) => `${z}[i, j] = Σₚ ${a}[i, p] · ${w}[p, j] + ${b}[0, j]`,
    terms: ([i, j], a, w, b) => [
      ...range(a.columns).map((p) => product(entry(a, i, p), entry(w, p, j))),
      [`${b.name}[0, ${j}]`, [entry(b, 0, j)], get(b, 0, j)],
    ],
  },
  activation: {
    compute: (h) => build(h.rows, h.columns, (i, j) => ACTIVATION.f(get(h, i, j))),
    formula: (a, h) => `${a}[i, j] = ${ACTIVATION.formula(`${h}[i, j]`).join("")}`,
    terms: ([i, j], h) => [["", ACTIVATION.formula(entry(h, i, j)), ACTIVATION.f(get(h, i, j))]],
  },
  loss: {
    compute: (y_pred, y) => build(1, 1, () => sum(y.rows, (i) => squaredError(y_pred, y, i))),
    formula: () => "loss = Σᵢ (y_pred[i, 0] - y[i, 0])²",
    terms: (_, y_pred, y) =>
      range(y.rows).map((i) => [
        `row ${i}`,
        ["(", entry(y_pred, i), " - ", entry(y, i), ")²"],
        squaredError(y_pred, y, i),
      ]),
  },
  error_grad: {
    compute: (y_pred, y) => build(y.rows, 1, (i) => 2 * (get(y_pred, i) - get(y, i))),
    formula: () => "grad_y_pred[i, 0] = 2 · (y_pred[i, 0] - y[i, 0])",
    terms: ([i], y_pred, y) => [
      ["", ["2 · (", entry(y_pred, i), " - ", entry(y, i), ")"], 2 * (get(y_pred, i) - get(y, i))],
    ],
  },
  weight_grad: {
    compute: (a, dz) => build(a.columns, dz.columns, (p, j) => sum(a.rows, (i) => get(a, i, p) * get(dz, i, j))),
    formula: (dw, a, dz) => `${dw}[p, j] = Σᵢ ${a}[i, p] · ${dz}[i, j]`,
    terms: ([p, j], a, dz) => range(a.rows).map((i) => product(entry(a, i, p), entry(dz, i, j), `row ${i}`)),
  },
  input_grad: {
    compute: (dz, w) => build(dz.rows, w.rows, (i, p) => sum(w.columns, (j) => get(dz, i, j) * get(w, p, j))),
    formula: (da, dz, w) => `${da}[i, p] = Σⱼ ${dz}[i, j] · ${w}[p, j]`,
    terms: ([i, p], dz, w) => range(w.columns).map((j) => product(entry(dz, i, j), entry(w, p, j))),
  },
  activation_grad: {
    compute: (h, da) => build(h.rows, h.columns, (i, j) => get(da, i, j) * ACTIVATION.derivative(get(h, i, j))),
    formula: (dh, h, da) => `${dh}[i, j] = ${ACTIVATION.gradFormula(`${h}[i, j]`, `${da}[i, j]`).join("")}`,
    terms: ([i, j], h, da) => [
      [
        "",
        ACTIVATION.gradFormula(entry(h, i, j), entry(da, i, j)),
        get(da, i, j) * ACTIVATION.derivative(get(h, i, j)),
      ],
    ],
  },
  bias_grad: {
    compute: (dz) => build(1, dz.columns, (_, j) => sum(dz.rows, (i) => get(dz, i, j))),
    formula: (db, dz) => `${db}[0, j] = Σᵢ ${dz}[i, j]`,
    terms: ([, j], dz) => range(dz.rows).map((i) => [`row ${i}`, [entry(dz, i, j)], get(dz, i, j)]),
  },
  update: {
    compute: (p, dp) => build(p.rows, p.columns, (i, j) => get(p, i, j) - PAGE.learning_rate * get(dp, i, j)),
    formula: (_, p, dp) => `new ${p} = ${p} - learning_rate · ${dp}`,
    terms: ([i, j], p, dp) => [
      [
        "",
        [entry(p, i, j), ` - ${PAGE.learning_rate} · `, entry(dp, i, j)],
        get(p, i, j) - PAGE.learning_rate * get(dp, i, j),
      ],
    ],
  },
};

/** An entry of an array with its name, as a part of a formula. */
const entry = (m, i = 0, j = 0) => ({ name: m.name, index: [i, j], value: get(m, i, j) });

const product = (a, b, label = `${entryName(a.name, a.index)} · ${entryName(b.name, b.index)}`) => [
  label,
  [a, " · ", b],
  a.value * b.value,
];

const squaredError = (y_pred, y, i) => (get(y_pred, i) - get(y, i)) ** 2;

const sigmoid = (h) => 1 / (1 + Math.exp(-h));

/** The distribution function of the standard normal, by the series of erf, whose terms are all positive. */
function normalCdf(h) {
  if (Math.abs(h) > 9) return h > 0 ? 1 : 0;
  let term = h,
    total = h;
  for (let k = 1; k < 200 && Math.abs(term) > 1e-17 * Math.abs(total); k++) total += term *= (h * h) / (2 * k + 1);
  return 0.5 + normalPdf(h) * total;
}

const normalPdf = (h) => Math.exp((-h * h) / 2) / Math.sqrt(2 * Math.PI);

const ACTIVATIONS = {
  identity: { f: (h) => h, derivative: () => 1 },
  // The derivative at 0 is 1, as in tutorial.py.
  relu: { f: (h) => (h < 0 ? 0 : h), derivative: (h) => (h < 0 ? 0 : 1) },
  tanh: { f: Math.tanh, derivative: (h) => (1 - Math.tanh(h)) * (1 + Math.tanh(h)) },
  sigmoid: { f: sigmoid, derivative: (h) => sigmoid(h) * sigmoid(-h) },
  gelu: { f: (h) => h * normalCdf(h), derivative: (h) => normalCdf(h) + h * normalPdf(h) },
  silu: { f: (h) => h * sigmoid(h), derivative: (h) => sigmoid(h) * (1 + h * sigmoid(-h)) },
};

const isRelu = PAGE.activation === "relu";
const hasKinks = isRelu && PAGE.sizes.length > 2;
const ACTIVATION = {
  ...ACTIVATIONS[PAGE.activation],
  formula: (h) => (isRelu ? ["where(", h, " < 0, 0, ", h, ")"] : [`${PAGE.activation}(`, h, ")"]),
  gradFormula: (h, da) => (isRelu ? ["where(", h, " < 0, 0, ", da, ")"] : [da, ` · ${PAGE.activation}′(`, h, ")"]),
};

const STEPS = Object.fromEntries(PAGE.steps.map((step) => [step.name, step]));
const LAST_FORWARD = PAGE.steps.findIndex((step) => step.name === "loss");

/**
 * Every number of an epoch by its name: forward pass, loss, backward pass, update, from x, y, w1, b1, ….
 *
 * `change`, if given, is {name, index, value}: that entry of a parameter or of a result is replaced, and the lines
 * after it go on with it. `steps` are the lines to compute.
 */
function computeEpoch(given, change = null, steps = PAGE.steps) {
  const values = { ...given };
  const replace = (name) => {
    if (change?.name !== name) return;
    const { rows, columns, data } = values[name];
    values[name] = { ...matrix(rows, columns, data.slice()), name };
    values[name].data[change.index[0] * columns + change.index[1]] = change.value;
  };
  Object.keys(given).forEach(replace);
  for (const { name, kind, args } of steps) {
    values[name] = { ...KINDS[kind].compute(...args.map((arg) => values[arg])), name };
    replace(name);
  }
  return values;
}

const DATA = { x: decode(PAGE.x), y: decode(PAGE.y) };
const ROWS = DATA.y.length;
const X = { ...matrix(ROWS, PAGE.sizes[0], DATA.x), name: "x" };
const Y = { ...matrix(ROWS, 1, DATA.y), name: "y" };

// What stands on each axis of an array: the rows of the data, or the units of layer 0 (the inputs), 1, 2, …
const AXES = { x: ["row", 0], y: ["row", PAGE.sizes.length - 1], loss: [] };
PAGE.steps
  .filter((step) => step.kind === "dense")
  .forEach(({ name, args: [, w, b] }, k) => {
    AXES[w] = [k, k + 1];
    AXES[b] = ["one", k + 1];
    AXES[name] = ["row", k + 1];
  });
for (const { name, kind, args } of PAGE.steps) if (kind === "activation") AXES[name] = AXES[args[0]];

/** The value that a gradient or an update belongs to: w1 for grad_w1 and new_w1. */
const baseOf = (name) => name.replace(/^(grad|new)_/, "");
const axesOf = (name) => AXES[baseOf(name)];
const PARAMETERS = Object.keys(PAGE.weights);
const WEIGHTS = Object.fromEntries(PARAMETERS.map((name) => [name, decode(PAGE.weights[name])]));
const JAX_GRAD = Object.fromEntries(Object.entries(PAGE.jax_grad).map(([name, text]) => [name, decode(text)]));

/** The entries of one recorded epoch in an array that holds all of them. */
const slice = (all, position) =>
  all.subarray((position * all.length) / PAGE.epochs.length, ((position + 1) * all.length) / PAGE.epochs.length);

/** The data and the parameters that the epoch at a position of the slider starts from. */
function givenAt(position) {
  const given = { x: X, y: Y };
  for (const name of PARAMETERS) {
    const [rows, columns] = AXES[name].map((axis) => (axis === "one" ? 1 : PAGE.sizes[axis]));
    given[name] = { ...matrix(rows, columns, slice(WEIGHTS[name], position)), name };
  }
  return given;
}
