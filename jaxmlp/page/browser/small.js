// The small example for paper.

function startSmall() {
  const { given, learning_rate, lines, after } = PAGE.small;
  byId("small-given").append(
    ...[...given, `learning_rate = ${learning_rate}`].map((text) => element("pre", { class: "code" }, text)),
  );
  byId("small-after").textContent = after;
  // The results, and the products where they are numbers, are hidden by the style.
  const write = ({ name, products, value, by_name }) =>
    element(
      "p",
      { class: "code" },
      `${name} = `,
      element("span", { class: "result" }, products),
      element("span", { class: "by-name" }, by_name),
      " = ",
      element("b", { class: "result" }, value),
    );
  byId("small-lines").append(
    ...lines.map(({ code, entries }) =>
      element("section", {}, element("code", {}, element("strong", {}, code)), ...entries.map(write)),
    ),
  );
  byId("small-hide").addEventListener("change", (event) =>
    byId("small").classList.toggle("hidden-results", event.target.checked),
  );
}
