// Fields for whole numbers from 0 on. A number out of range is refused in words, and nothing changes.

/**
 * Let a field choose a number from 0 to `most`.
 *
 * `title` names the number, `read()` is the one that is selected, and `change(value)` is what selecting one changes.
 */
function startField(input, title, most, read, change) {
  let before = read(); // what a number out of range goes back to
  Object.assign(input, { min: 0, max: most });
  input.addEventListener("focus", () => (before = read()));
  input.addEventListener("input", () => {
    const value = input.valueAsNumber,
      isEmpty = input.value === "" && !input.validity.badInput;
    if (Number.isInteger(value) && value >= 0 && value <= most) update(change(value));
    else update({ ...change(before), problem: isEmpty ? "" : `${title}s are 0 to ${most}.` });
  });
  // A change is finished by Enter, by an arrow, or by leaving the field.
  for (const type of ["change", "blur"]) input.addEventListener(type, () => (input.value = before = read()));
}
