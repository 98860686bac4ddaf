"use strict";

// The numbers of the page: its data, matrices as in NumPy, and how numbers are written.

const PAGE = JSON.parse(document.getElementById("data").textContent);

/** The numbers of an array that is stored as base64, as float64. */
function decode(text, type = Float32Array) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return Float64Array.from(new type(bytes.buffer));
}

const range = (count) => Array.from({ length: count }, (_, k) => k);

/** A matrix: its numbers stand row by row in `data`. */
const matrix = (rows, columns, data) => ({ rows, columns, data });

/** The matrix whose entries are `entry(i, j)`. */
function build(rows, columns, entry) {
  const data = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) data[i * columns + j] = entry(i, j);
  return matrix(rows, columns, data);
}

const get = (m, i = 0, j = 0) => m.data[i * m.columns + j];

/** The sum of `term(k)` for k = 0 … count - 1. */
function sum(count, term) {
  let total = 0;
  for (let k = 0; k < count; k++) total += term(k);
  return total;
}

const largest = (numbers) => numbers.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** Six significant digits, as in `jaxmlp explain`. */
function write(value) {
  if (Object.is(value, -0) || value === 0) return "0";
  const size = Math.abs(value);
  return size < 1e-4 || size >= 1e6 ? value.toExponential(5) : value.toPrecision(6);
}

/** A difference: one digit is enough. */
const roughly = (value) => (value === 0 ? "0" : Math.abs(value).toExponential(0));

/** The name of an entry, in Python's notation. */
const entryName = (name, index) => (index.length ? `${name}[${index.join(", ")}]` : name);
