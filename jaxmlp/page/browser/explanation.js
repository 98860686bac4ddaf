// Every number explained: its line of tutorial.py, the formula, the formula with numbers, and an independent method.

const GROUPS = [
  ["Given", ["x", "y", ...PARAMETERS].map((name) => ({ name, code: name }))],
  ["Forward pass", PAGE.steps.slice(0, LAST_FORWARD + 1)],
  ["Backward pass: gradients of the loss", PAGE.steps.filter(({ name }) => name.startsWith("grad_"))],
  ["Gradient descent", PAGE.steps.filter(({ kind }) => kind === "update")],
];

/** The program as a list of buttons, each with the entry that belongs to the selected row and units. */
function buildLines() {
  for (const [title, steps] of GROUPS) {
    byId("lines").append(element("h3", {}, title));
    for (const { name, code } of steps) {
      const button = element("button", { type: "button", "data-name": name });
      button.append(element("code", {}, code), element("span", { class: "code value" }));
      button.addEventListener("click", () => update({ name }));
      byId("lines").append(button);
    }
  }
}

function axisTitle(axis) {
  if (axis === "row") return "Row";
  if (axis === 0) return "Input";
  return axis === LAST ? "Output" : LAST === 2 ? "Hidden unit" : `Layer ${axis} unit`;
}

const axisSize = (axis) => (axis === "row" ? ROWS : axis === "one" ? 1 : PAGE.sizes[axis]);

/** The list of all names; it stays, so that it can be used with the keyboard. */
function buildNames() {
  const names = byId("name");
  for (const [title, steps] of GROUPS) {
    const group = element("optgroup", { label: title });
    group.append(...steps.map(({ name }) => element("option", { value: name }, baseName(name))));
    names.append(group);
  }
  names.addEventListener("change", () => update({ name: names.value }));
}

/** An input for each index of the explained entry. */
function buildIndices() {
  const axes = axesOf(state.name),
    indices = byId("indices");
  indices.replaceChildren(axes.length ? "[" : "");
  axes.forEach((axis, k) => {
    if (k) indices.append(", ");
    if (axisSize(axis) === 1) return indices.append("0");
    const title = axisTitle(axis);
    const input = element("input", { type: "number", "aria-label": title, title, "data-axis": axis });
    const select = (index) => ({ at: { [axis]: index } });
    startField(input, title, axisSize(axis) - 1, () => state.at[axis], select);
    indices.append(input);
  });
  indices.append(axes.length ? "]" : "");
}

/** new_w1 is called w1 too, as in the program. */
const baseName = (name) => name.replace(/^new_/, "new ");

function drawExplanation({ given, values }) {
  const { name } = state,
    index = indexOf(name),
    value = get(values[name], ...index);
  const indices = byId("indices");
  if (indices.dataset.name !== name) buildIndices();
  indices.dataset.name = name;
  byId("name").value = name;
  for (const input of indices.querySelectorAll("input")) {
    if (input !== document.activeElement) input.value = state.at[input.dataset.axis];
  }
  byId("value").textContent = `= ${write(value)}`;
  if (!state.playing)
    byId("announcement").textContent =
      `${entryName(baseName(name), index)} = ${write(value)}, epoch ${EPOCHS[state.position]}`;
  for (const button of byId("lines").querySelectorAll("button")) {
    const other = button.dataset.name,
      at = indexOf(other);
    button.setAttribute("aria-pressed", other === name);
    button.lastChild.textContent = `${at.length ? `[${at.join(", ")}]` : ""} ${write(get(values[other], ...at))}`;
  }
  const step = STEPS[name];
  byId("explained").replaceChildren(
    ...(step ? explainStep(step, index, value, given, values) : explainGiven(name, index, given)),
  );
}

function explainGiven(name, index) {
  if (!PARAMETERS.includes(name)) {
    return [
      element("p", {}, name === "x" ? "An input: given by the data." : "The target of the row: given by the data."),
    ];
  }
  const [from, to] = axesOf(name).map((axis, k) => (axis === "one" ? "" : unitTitle(axis, index[k])));
  const what = from ? `The weight from ${from} to ${to}.` : `The bias of ${to}.`;
  const epoch = EPOCHS[state.position];
  const origin = epoch <= 1 ? "It is as drawn at the start." : `Its value after ${epoch - 1} steps.`;
  const button = element("button", { type: "button" }, `Its gradient: ${entryName(`grad_${name}`, index)}`);
  button.addEventListener("click", () => update({ name: `grad_${name}` }));
  return [
    element("p", {}, `${what} ${origin}`),
    button,
    element("p", { class: "muted" }, "“Nudge a weight” shows how the loss depends on it."),
  ];
}

function explainStep(step, index, value, given, values) {
  const { name, kind, args, code, line, meaning } = step;
  const parts = [element("p", { class: "muted" }, describeMeaning(name, meaning, index))];
  const why = explainZero(name, index, value, values);
  if (why) parts.push(element("p", { class: "why" }, ...writeParts(why)));
  const list = element("dl"),
    add = (term, ...content) => list.append(element("dt", {}, term), element("dd", {}, ...content));
  add(
    "line",
    element("code", {}, code),
    " ",
    element("span", { class: "muted line" }, line ? `tutorial.py, line ${line}` : ""),
  );
  add("formula", element("span", { class: "code" }, KINDS[kind].formula(baseName(name).replace("new ", ""), ...args)));
  if (!isRelu && kind.startsWith("activation")) add(...writeActivation(kind, values[args[0]], index));
  add("numbers", writeTerms(step, index, values));
  add("by hand", element("b", {}, write(value)));
  const methods = independent(step, index, value, given, values);
  for (const [method, content] of methods) add(method, content);
  parts.push(list);
  if (methods.length) {
    const measure = `Differences are relative to the largest entry of ${baseName(name)}.`;
    parts.push(element("p", { class: "muted" }, name === "loss" ? "The difference is relative." : measure));
  }
  return parts;
}

/** The formula of an activation, or of its derivative, with its value. */
function writeActivation(kind, h, index) {
  const isValue = kind === "activation",
    [fn, derivative, symbols] = PAGE.formulas;
  const formula = isValue ? `${PAGE.activation}(h) = ${fn}` : `${PAGE.activation}′(h) = ${derivative}`;
  const value = (isValue ? ACTIVATION.f : ACTIVATION.derivative)(get(h, ...index));
  const parts = [element("span", { class: "code" }, `${formula} = ${write(value)}`)];
  if (symbols) parts.push(element("div", { class: "muted" }, symbols));
  return [isValue ? "activation" : "derivative", ...parts];
}

function describeMeaning(name, meaning, index) {
  const [first, second] = axesOf(name);
  const places = axesOf(name).map((axis, k) => {
    if (axis === "row") return `row ${index[k]}`;
    return axis === "one" || (axis === LAST && first === "row") ? "" : unitTitle(axis, index[k]);
  });
  const where = places.filter(Boolean).length
    ? ` (${typeof first === "number" && typeof second === "number" ? `from ${places[0]} to ${places[1]}` : places.filter(Boolean).join(", ")})`
    : "";
  if (meaning.startsWith("... ")) return `Gradient of the loss with respect to ${meaning.slice(4)}${where}`;
  return meaning[0].toUpperCase() + meaning.slice(1) + where;
}

/** Why a number is 0 where a unit is off: texts and entries, or null. */
function explainZero(name, index, value, values) {
  if (!isRelu || value !== 0) return null;
  const [row, unit] = index,
    layer = LAYERS.findIndex(({ before, after }) => [before, after].includes(baseOf(name)));
  if (layer > 0 && layer < LAST && axesOf(name)[0] === "row") {
    const h = LAYERS[layer].before;
    if (get(values[h], row, unit) >= 0) return null;
    const [before, after] = PAGE.off.replace("{entry}", entryName(h, index)).replace("{name}", h).split("{value}");
    return [before, entry(values[h], row, unit), after];
  }
  const h = LAYERS[axesOf(name)[1]]?.before;
  if (name.startsWith("grad_") && STEPS[h] && h !== "y_pred" && deadUnits(values[h])[unit]) {
    return [PAGE.dead];
  }
  return null;
}

/** The value of the entry by other methods, with the difference relative to the largest entry: [method, text]. */
function independent({ name, kind }, index, value, given, values) {
  const scale = largest(values[name].data) || 1;
  const against = (other, note = "") => `${write(other)}, difference ${roughly((other - value) / scale)}${note}`;
  const methods = [],
    base = baseOf(name),
    { position } = state;
  if (name.startsWith("grad_")) {
    methods.push([
      "central difference",
      isUndecided(values, base, index)
        ? `undecided: ${base} is within ${STEP_NAME} of 0, where relu has a kink`
        : against(centralDifference(values, given, base, index)),
    ]);
    if (name in JAX_GRAD) {
      const expected = matrix(values[name].rows, values[name].columns, slice(JAX_GRAD[name], position));
      methods.push(["jax.grad", against(get(expected, ...index), " (stored with 7 digits)")]);
    } else {
      methods.push(["jax.grad", `difference ${roughly(WORST[name][position])}, the largest of all entries, in Python`]);
    }
  } else if (name === "loss") {
    methods.push(["Python", against(LOSS64[position])]);
  } else if (kind === "update" && EPOCHS[position + 1] === EPOCHS[position] + 1 && EPOCHS[position] > 0) {
    methods.push([
      "Python",
      against(get(givenAt(position + 1)[base], ...index), " (float32, the weights of the next epoch)"),
    ]);
  }
  return methods;
}
