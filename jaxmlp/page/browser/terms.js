// Formulas with numbers: a click on a number explains it in turn.

const SHOWN_TERMS = 5;

/** Texts and entries of arrays as nodes; an entry is a button. */
function writeParts(parts) {
  return parts.map((part, k) => {
    if (typeof part === "string") return part;
    // After a product or a minus sign, a negative number has parentheses.
    const hasParentheses = part.value < 0 && /[·-] $/.test(parts[k - 1]),
      text = write(part.value),
      name = entryName(part.name, part.index);
    const button = element(
      "button",
      { type: "button", class: "entry", title: name, "aria-label": `${name} = ${text}` },
      hasParentheses ? `(${text})` : text,
    );
    button.addEventListener("click", () => {
      select(part.name, part.index);
      byId("explained").focus({ preventScroll: true }); // The button goes away; Tab continues from here.
    });
    return button;
  });
}

/** The terms of an entry, largest first; of many, the first five and the sum of the others. */
function writeTerms({ kind, args }, index, values) {
  const terms = KINDS[kind].terms(index, ...args.map((arg) => values[arg]));
  if (terms.length === 1 && !terms[0][0]) return element("span", { class: "code" }, ...writeParts(terms[0][1]));
  if (terms.length > SHOWN_TERMS + 1) terms.sort((a, b) => Math.abs(b[2]) - Math.abs(a[2]));
  const shown = state.allTerms || terms.length <= SHOWN_TERMS + 1 ? terms : terms.slice(0, SHOWN_TERMS);
  const table = element("table");
  const add = (label, parts, value, plus) =>
    table.append(
      element("tr", {}, label, cell("code", ...parts), cell("plus", plus ? "+" : ""), cell("code number", write(value))),
    );
  shown.forEach(([label, parts, value], k) =>
    add(cell(label.startsWith("row") ? "" : "names", label), writeParts(parts), value, k > 0),
  );
  if (shown.length < terms.length) {
    const button = element("button", { type: "button" }, `… ${terms.length - shown.length} more`);
    button.addEventListener("click", () => update({ allTerms: true }));
    const others = terms.slice(shown.length).reduce((total, term) => total + term[2], 0);
    add(cell("names", button), [], others, true);
  }
  return table;
}

const cell = (type, ...content) => element("td", { class: type }, ...content);
