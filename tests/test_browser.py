"""The page in a browser: what a reader sees and does, and its numbers compared with Python. Needs Chromium."""

import base64
import re

import numpy as np
import pytest
from page import COMMITTED, data_of
from reference import numpy_epoch
from test_activations import VALUES

from jaxmlp.activations import ACTIVATIONS
from jaxmlp.cli import main
from jaxmlp.page import small_example
from jaxmlp.page.program import FORMULAS

pytestmark = pytest.mark.browser
GRADIENTS = ["grad_y_pred", "grad_w2", "grad_h_relu", "grad_h", "grad_b2", "grad_w1", "grad_b1"]
NUMBER = r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?"


@pytest.fixture(scope="module")
def opened(browser):
    """(the page, what its console said, the addresses that it asked for), for all tests of this file."""
    page, said, asked = browser.new_page(viewport={"width": 1280, "height": 800}), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(COMMITTED.as_uri())
    page.wait_for_selector("#agreement:has-text('jax.grad')")
    return page, said, asked


@pytest.fixture
def page(opened):
    """The page at epoch 57, row 17, in its first state otherwise."""
    page, said, asked = opened
    page.set_viewport_size({"width": 1280, "height": 800})
    page.emulate_media(reduced_motion="reduce")
    page.get_by_text("Forward →").click()
    page.evaluate("update({ position: 57, name: 'h', at: { row: 17, 0: 0, 1: 20 }, parameter: 'w1', playing: false })")
    page.evaluate("document.activeElement.blur()")
    settle(page)
    yield page
    assert said == []
    assert asked == [COMMITTED.as_uri()]


def settle(page):
    """Wait until the frame after the next has been drawn."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def explained(page):
    """(name, index, value) of the number that is explained."""
    settle(page)
    index = [int(field.input_value()) for field in page.locator("#entry input").all()]
    return (
        page.input_value("#name"),
        index,
        float(page.inner_text("#value").removeprefix("= ")),
    )


def method(page, name):
    """The text beside a word such as "by hand"."""
    return page.locator(f"#explained dt:text-is('{name}') + dd").first.inner_text()


@pytest.fixture(scope="module")
def expected():
    """Every number of epoch 57 by NumPy in float64."""
    data = data_of(COMMITTED.read_text(encoding="utf-8"))
    return numpy_epoch(*(data["weights"][name][57] for name in ("w1", "b1", "w2", "b2")), data["x"], data["y"])


def test_the_program_shows_the_numbers_of_explain_to_six_digits(page, capsys):
    assert main(["explain", "--epoch", "57", "--row", "17", "--unit", "7"]) == 0
    printed = capsys.readouterr().out
    page.evaluate("update({ at: { 1: 7, 0: 0 } })")
    settle(page)
    for button in page.locator("#lines button").all()[6:]:
        code, value = button.locator("code").inner_text(), button.locator(".value").inner_text().split()[-1]
        shown = re.search(rf"^  {re.escape(code)} .*?({NUMBER})(?: +{NUMBER}  ✓)?$", printed, re.MULTILINE)[1]
        np.testing.assert_allclose(float(value), float(shown), rtol=2e-5, err_msg=code)


@pytest.mark.extended
def test_the_gradients_of_all_epochs_are_those_of_numpy(page):
    data = data_of(COMMITTED.read_text(encoding="utf-8"))
    texts = page.evaluate(
        """(names) => {
          const all = Object.fromEntries(names.map((name) => [name, []]));
          for (let position = 1; position < EPOCHS.length; position++) {
            const values = computeEpoch(givenAt(position));
            for (const name of names) all[name].push(new Float32Array(values[name].data));
          }
          const bytes = (parts) => new Uint8Array(parts.flatMap((part) => [...new Uint8Array(part.buffer)]));
          const text = (bytes) => {
            let text = "";
            for (let k = 0; k < bytes.length; k += 8192) text += String.fromCharCode(...bytes.subarray(k, k + 8192));
            return btoa(text);
          };
          return names.map((name) => text(bytes(all[name])));
        }""",
        GRADIENTS,
    )
    arrays = [np.frombuffer(base64.b64decode(text), "<f4").reshape(200, -1) for text in texts]
    for position in range(1, 201):
        weights = [data["weights"][name][position] for name in ("w1", "b1", "w2", "b2")]
        epoch = numpy_epoch(*weights, data["x"], data["y"])
        for name, values in zip(GRADIENTS, arrays, strict=True):
            largest = np.abs(epoch[name]).max()
            assert np.abs(values[position - 1] - epoch[name].ravel()).max() <= 1e-5 * largest, (position, name)


def test_every_gradient_is_reached_by_a_click_and_agrees_with_an_independent_method(page, expected):
    for name in GRADIENTS:
        page.locator(f"#lines button[data-name={name}]").click()
        shown, index, value = explained(page)
        at = (0, *index, 0)[:2] if name[5] == "b" else (*index, 0)[:2]
        assert shown == name
        np.testing.assert_allclose(value, expected[name][at], rtol=1e-5)
        np.testing.assert_allclose(float(method(page, "by hand")), value)
        for other in ("jax.grad", "central difference") if name[5] in "wb" else ("central difference",):
            text = method(page, other)
            found = re.match(rf"({NUMBER}), difference ({NUMBER})", text)
            np.testing.assert_allclose(float(found[1]), value, rtol=1e-5)
            assert float(found[2]) < 1e-6
        assert float(re.match(rf"(?:{NUMBER}, )?difference ({NUMBER})", method(page, "jax.grad"))[1]) < 1e-6
        assert f"Differences are relative to the largest entry of {name}." in page.inner_text("#explained")


def test_terms_are_shown_largest_first_and_add_up(page, expected):
    page.evaluate("select('grad_w1', [2, 7])")
    settle(page)
    rows = [row.inner_text().split("\t") for row in page.locator("#explained tr").all()]
    values = [float(row[-1]) for row in rows]
    assert len(rows) == 6
    assert rows[-1][0] == "… 95 more"
    assert sorted(map(abs, values[:5]), reverse=True) == [*map(abs, values[:5])]
    assert sum(values) == pytest.approx(expected["grad_w1"][2, 7], abs=1e-4)
    page.get_by_text("… 95 more").click()
    settle(page)
    assert page.locator("#explained tr").count() == 100


@pytest.mark.extended
def test_a_click_on_a_number_of_a_formula_walks_the_chain_rule(page, expected):
    page.evaluate("select('grad_w1', [2, 7])")
    settle(page)
    page.locator("#explained .entry").nth(1).click()  # the grad_h of the largest term
    name, (row, unit), value = explained(page)
    assert (name, unit) == ("grad_h", 7)
    assert value == pytest.approx(expected["grad_h"][row, 7], rel=1e-5)
    for after in ("grad_h_relu", "grad_y_pred", "y"):
        page.keyboard.press("Tab")  # from the explanation to its first number
        numbers = page.locator("#explained .entry")
        assert numbers.first.evaluate("(node) => node === document.activeElement")
        numbers.and_(page.locator(f"[title^='{after}[']")).first.click()
        assert explained(page)[0] == after
        assert page.evaluate("state.at.row") == row


@pytest.mark.extended
def test_a_unit_an_edge_the_loss_and_a_row_are_explained_by_a_click(page, expected):
    page.locator("#network").get_by_label("hidden unit 7:").click()
    assert explained(page) == ("h_relu", [17, 7], pytest.approx(expected["h_relu"][17, 7], rel=1e-5))
    page.mouse.move(0, 0)
    settle(page)
    assert re.fullmatch(r"h_relu\[17, 7\] = \S+, explained on the right\.", page.inner_text("#hover"))
    ends = page.evaluate("(({ from, to }) => [from, to])(drawing.edges.find(({ index }) => index.join() === '2,7'))")
    box = page.locator("#network").bounding_box()
    page.mouse.click(*(box[axis] + (ends[0][axis] + ends[1][axis]) / 2 for axis in "xy"))
    assert explained(page)[:2] == ("w1", [2, 7])
    loss = page.evaluate("drawing.loss")
    page.mouse.click(box["x"] + loss["x"], box["y"] + loss["y"])
    assert explained(page) == ("loss", [], pytest.approx(expected["loss"], rel=1e-5))
    point = page.evaluate("charts.points[40]")
    box = page.locator("#prediction-chart").bounding_box()
    page.mouse.click(box["x"] + point["x"], box["y"] + point["y"])
    assert explained(page)[:2] == ("y_pred", [40])
    assert page.get_by_label("Row", exact=True).first.input_value() == "40"


def ringed(page):
    """The names of the units that are drawn as selected."""
    units = page.locator("#network .unit.selected").all()
    return [unit.get_attribute("aria-label").partition(":")[0] for unit in units]


@pytest.mark.extended
def test_only_the_units_of_the_explained_number_are_ringed(page):
    for name, units in (
        ("x", ["input 0"]),
        ("h", ["hidden unit 20"]),
        ("w1", ["input 0", "hidden unit 20"]),
        ("y_pred", ["prediction"]),
        ("loss", []),
    ):
        page.evaluate("(name) => update({ name })", name)
        settle(page)
        assert ringed(page) == units


def test_the_drawing_names_what_it_shows_in_each_view(page, expected):
    texts = page.locator("#network text")
    assert {"inputs x", "hidden units h_relu", "y_pred", "all 100 rows"} <= {*texts.all_text_contents()}
    loss = (expected["y_pred"][17, 0] - data_of(COMMITTED.read_text(encoding="utf-8"))["y"][17, 0]) ** 2
    assert float(page.evaluate("drawing.rowLoss.textContent")) == pytest.approx(loss, rel=1e-5)
    page.get_by_text("← Backward").click()
    settle(page)
    assert {"inputs x", "hidden units grad_h", "grad_y_pred"} <= {*texts.all_text_contents()}
    assert page.locator("#network .unit.given").count() == 3
    assert "No unit is dead" in page.inner_text("#legend")


@pytest.mark.extended
def test_the_backward_view_shows_gradients_and_says_why_some_are_zero(page, expected):
    before = page.locator("#network .edge").nth(5).get_attribute("stroke-width")
    page.locator("#network").get_by_label("hidden unit 20:").click()
    assert explained(page) == ("h_relu", [17, 20], 0)
    page.locator("#explained .why .entry").click()
    assert explained(page) == ("h", [17, 20], pytest.approx(expected["h"][17, 20], rel=1e-5))
    page.get_by_text("← Backward").click()
    assert explained(page) == ("grad_h", [17, 20], 0)
    assert expected["h"][17, 20] < 0
    assert "is below 0: the unit is off for this row" in page.inner_text("#explained .why")
    assert "from the loss to the inputs" in page.inner_text("#network-title")
    assert page.locator("#network .edge").nth(5).get_attribute("stroke-width") != before
    label = page.locator("#network").get_by_label("hidden unit 7:").get_attribute("aria-label")
    assert float(label.split("= ")[1]) == pytest.approx(expected["grad_h"][17, 7], rel=1e-5)
    stages = page.evaluate("drawing.groups.map((group) => group.style.getPropertyValue('--stage'))")
    assert (stages[-1], stages[1]) == ("0", "5")  # The loss comes first, and the inputs come last.


@pytest.mark.extended
def test_an_entry_is_found_by_its_name_and_indices(page, expected):
    page.get_by_label("Name of the number").select_option("grad_w1")
    page.get_by_label("Input", exact=True).fill("2")
    page.get_by_label("Hidden unit", exact=True).fill("7")
    assert explained(page) == ("grad_w1", [2, 7], pytest.approx(expected["grad_w1"][2, 7], rel=1e-5))


@pytest.mark.sampled(1)
@pytest.mark.parametrize(
    ("label", "typed", "shown", "problem"),
    [
        ("Row", "100", "17", "Rows are 0 to 99."),
        ("Row", "-1", "17", "Rows are 0 to 99."),
        ("Row", "1.5", "17", "Rows are 0 to 99."),
        ("Epoch", "999", "57", "Epochs are 0 to 200."),
        ("Hidden unit", "99", "20", "Hidden units are 0 to 31."),
    ],
)
def test_a_number_out_of_range_is_refused_in_words_and_changes_nothing(page, label, typed, shown, problem):
    before = page.evaluate("[state.position, { ...state.at }]")
    field = page.get_by_label(label, exact=True).first
    field.click()
    page.keyboard.press("Control+A")
    page.keyboard.type(typed)
    settle(page)
    assert page.inner_text("#problem") == problem
    assert page.evaluate("[state.position, { ...state.at }]") == before
    page.keyboard.press("Enter")
    assert field.input_value() == shown
    page.keyboard.press("Control+A")
    page.keyboard.type("3")
    settle(page)
    assert page.inner_text("#problem") == ""


@pytest.mark.extended
def test_an_entry_is_found_with_the_keyboard_alone(page, expected):
    page.get_by_label("Name of the number").focus()
    for key in ("grad_w1", "Tab", "2", "Tab", "7"):
        if key == "Tab":
            page.keyboard.press("Tab")
            page.keyboard.press("Control+A")
        else:
            page.keyboard.type(key)
        settle(page)
    assert explained(page) == ("grad_w1", [2, 7], pytest.approx(expected["grad_w1"][2, 7], rel=1e-5))
    assert re.fullmatch(rf"grad_w1\[2, 7\] = {NUMBER}, epoch 57", page.text_content("#announcement"))


@pytest.mark.extended
def test_slider_number_loss_chart_and_arrow_keys_choose_the_epoch(page):
    epoch = page.get_by_label("Epoch", exact=True)
    page.get_by_label("Epoch, slider").fill("0")
    settle(page)
    assert epoch.input_value() == "0"
    assert "before any step. Epoch 1 starts from them" in page.inner_text("#epoch-meaning")
    page.get_by_label("Epoch, slider").press("ArrowRight")
    settle(page)
    assert epoch.input_value() == "1"
    page.evaluate("document.activeElement.blur()")
    for key, value in (("ArrowRight", "2"), ("ArrowLeft", "1"), ("ArrowLeft", "0"), ("ArrowLeft", "0"), ("End", "200")):
        page.keyboard.press(key)
        settle(page)
        assert epoch.input_value() == value
    epoch.fill("57")
    settle(page)
    assert page.get_by_label("Epoch, slider").input_value() == "57"
    assert float(page.inner_text("#loss").split()[1]) == pytest.approx(94.2019, rel=1e-4)
    page.locator("#loss-chart").click(position={"x": 40, "y": 60})
    settle(page)
    assert epoch.input_value() == "0"


@pytest.mark.extended
def test_the_keyboard_goes_through_the_units(page):
    page.locator("#network").get_by_label("hidden unit 20:").focus()
    page.keyboard.press("ArrowDown")
    assert explained(page)[:2] == ("h_relu", [17, 21])
    assert page.inner_text("#hover") == "Up and down: unit. Left and right: epoch. Tab: layer."
    page.keyboard.press("ArrowRight")  # the epoch, as everywhere
    settle(page)
    assert page.get_by_label("Epoch", exact=True).input_value() == "58"
    assert page.text_content("#announcement").endswith(", epoch 58")


@pytest.mark.extended
def test_play_goes_through_the_epochs_with_little_work_for_each_frame(page):
    chromium = page.context.new_cdp_session(page)
    chromium.send("Performance.enable", {"timeDomain": "threadTicks"})  # Time of this thread: others do not count.

    def script_seconds():
        metrics = chromium.send("Performance.getMetrics")["metrics"]
        return next(metric["value"] for metric in metrics if metric["name"] == "ScriptDuration")

    page.evaluate("frames.splice(0)")
    before = script_seconds()
    page.get_by_role("button", name="▶ Play").click()
    page.wait_for_function("state.position > 75")
    page.get_by_role("button", name="Pause").click()
    settle(page)
    stopped = page.get_by_label("Epoch", exact=True).input_value()
    frames = page.evaluate("frames.splice(0)")
    assert len(frames) > 15
    assert (script_seconds() - before) / len(frames) < 0.033
    chromium.detach()
    page.wait_for_timeout(150)
    assert page.get_by_label("Epoch", exact=True).input_value() == stopped
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("End")
    page.keyboard.press(" ")  # From the last epoch it starts again.
    page.wait_for_function("state.position < 100")
    page.keyboard.press(" ")
    settle(page)
    assert page.evaluate("state.playing") is False


@pytest.mark.extended
def test_a_nudged_weight_moves_the_loss_along_its_curve_and_the_tangent_has_the_slope_of_the_gradient(page, expected):
    page.evaluate("select('grad_w1', [2, 7])")
    settle(page)
    data = data_of(COMMITTED.read_text(encoding="utf-8"))
    weights = {name: values[57].copy() for name, values in data["weights"].items()}
    start = weights["w1"][2, 7]
    assert f"{expected['grad_w1'][2, 7]:.4f}" in page.inner_text("#nudge-text")
    page.get_by_label("Value of the weight").fill(str(start + 0.5))
    settle(page)
    weights["w1"][2, 7] = start + 0.5
    loss = numpy_epoch(*weights.values(), data["x"], data["y"])["loss"]
    numbers = [float(number) for number in re.findall(rf" ({NUMBER})", page.inner_text("#nudge-text"))]
    tangent = expected["loss"] + 0.5 * expected["grad_w1"][2, 7]
    np.testing.assert_allclose(numbers[-4:], [start + 0.5, expected["loss"], loss, tangent], rtol=1e-5)
    assert page.inner_text("#loss") == f"Loss {loss:#.6g} (nudged)"

    box = page.locator("#nudge-chart").bounding_box()
    handle = page.locator("#nudge-chart .handle").bounding_box()
    page.mouse.move(handle["x"] + 8, handle["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 50)
    page.mouse.up()
    settle(page)
    assert page.evaluate("state.nudge") < start
    assert page.evaluate("getSelection().toString()") == ""
    for part in ("#network", "#nudge-chart"):
        box = page.locator(part).bounding_box()
        assert box["y"] >= 0, part
        assert box["y"] + box["height"] <= 800, part
    page.get_by_role("button", name="Reset").click()
    settle(page)
    assert page.evaluate("state.nudge") is None
    assert float(page.inner_text("#loss").split()[1]) == pytest.approx(expected["loss"], rel=1e-5)


def test_a_dead_unit_is_marked_and_named(page):
    dead = page.evaluate(
        """() => {
          slice(WEIGHTS.b1, 57)[3] = -100;
          cache.position = null;
          update({ view: "backward", name: "grad_w1", at: { 1: 3, 0: 1 } });
          return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
            const unit = drawing.units.find(({ layer, unit }) => layer === 1 && unit === 3).node;
            done([unit.getAttribute("class"), unit.getAttribute("aria-label"), byId("legend").textContent,
              byId("explained").textContent, byId("value").textContent]);
            slice(WEIGHTS.b1, 57)[3] = decode(PAGE.weights.b1)[57 * 32 + 3];
            cache.position = null;
          })));
        }"""
    )
    assert "dead" in dead[0].split()
    assert "dead: below 0 for all rows" in dead[1]
    assert "× marks 1 dead unit" in dead[2]
    assert "the unit is dead: it is below 0 for all rows" in dead[3]
    assert dead[4] == "= 0"


def test_an_entry_near_the_kink_is_undecided(page):
    data = data_of(COMMITTED.read_text(encoding="utf-8"))
    for position in range(1, 201):
        h = data["x"] @ data["weights"]["w1"][position] + data["weights"]["b1"][position]
        if (np.abs(h) < 1e-6).any():
            row, unit = np.argwhere(np.abs(h) < 1e-6)[0].tolist()
            page.evaluate(f"update({{ position: {position}, name: 'grad_h', at: {{ row: {row}, 1: {unit} }} }})")
            settle(page)
            assert method(page, "central difference") == "undecided: h is within 1e-6 of 0, where relu has a kink"
            return
    pytest.skip("no entry of this page is so near to 0")


@pytest.mark.sampled(1)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_in_the_page_are_those_of_the_package(page, name):
    points = [*np.linspace(-9, 9, 37), -40.0, 40.0]
    script = f"(points) => points.map((h) => [ACTIVATIONS.{name}.f(h), ACTIVATIONS.{name}.derivative(h)])"
    values, slopes = np.transpose(page.evaluate(script, points))
    np.testing.assert_allclose(values, VALUES[name](np.array(points)), rtol=1e-12, atol=1e-14)
    near = np.array(points) + 1e-6 * np.array([[1], [-1]])
    differences = (VALUES[name](near[0]) - VALUES[name](near[1])) / 2e-6
    smooth = np.array(points) != 0
    np.testing.assert_allclose(slopes[smooth], differences[smooth], atol=1e-8)


@pytest.mark.extended
def test_the_small_example_is_that_of_explain_and_can_hide_its_results(page):
    page.get_by_text("A small example for paper").click()
    example, text = small_example(), page.inner_text("#small-lines")
    for line in example.lines:
        assert line.code in text
        for name, products, value, _ in line.entries:
            assert f"{name} = {products} = {value}" in text
    assert page.locator("#small-given pre").all_inner_texts() == [*example.given, "learning_rate = 0.02"]
    page.get_by_label("Hide the results").check()
    text = page.inner_text("#small-lines")
    assert "h[0, 1] = -1.00 · 0.50 + (-1.00) · 2.00 + 0.50 =" in text
    assert "h_relu[0, 0] = where(h[0, 0] < 0, 0, h[0, 0]) =" in text
    assert not re.search(r" = -?[\d.]+$|-3\.50", text, re.MULTILINE)  # -3.50 is a result only
    page.get_by_label("Hide the results").uncheck()
    page.get_by_text("A small example for paper").click()


def test_the_foot_says_how_far_the_numbers_agree(page):
    text = page.inner_text("#agreement")
    jax, python, loss = (float(number) for number in re.findall(r": (\d(?:e-\d+)?)", text))
    assert jax < 1e-6
    assert python < 1e-12
    assert loss < 1e-12
    assert "within 1e-6 of the kink" in text


@pytest.mark.sampled(1)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)])
def test_it_is_readable_on_a_phone_and_a_laptop_light_and_dark(page, scheme, width, height):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": height})
    settle(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate(
        """() => [...document.querySelectorAll("body *")].filter((node) => node.getClientRects().length
          && [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())
          && parseFloat(getComputedStyle(node).fontSize) < 10).map((node) => node.outerHTML)"""
    )
    assert small == []
    contrast = page.evaluate(
        """() => {
          const light = (colour) => {
            const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
            const [r, g, b] = parts.map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const panel = light(getComputedStyle(document.querySelector(".panel")).backgroundColor);
          const colours = ["--text", "--muted", "--positive", "--negative", "--selected"].map((name) => {
            const node = document.body.appendChild(document.createElement("i"));
            node.style.color = `var(${name})`;
            const colour = getComputedStyle(node).color;
            node.remove();
            return light(colour);
          });
          return colours.map((one) => (Math.max(one, panel) + 0.05) / (Math.min(one, panel) + 0.05));
        }"""
    )
    assert min(contrast) >= 4.5
    page.emulate_media(color_scheme="light")


@pytest.mark.extended
def test_on_a_phone_a_tap_says_what_it_selects_and_only_the_epoch_stays_in_sight(browser):
    page = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True, reduced_motion="reduce")
    page.goto(COMMITTED.as_uri())
    page.wait_for_selector("#agreement:has-text('jax.grad')")
    page.get_by_text("← Backward").tap()
    page.locator("#network").get_by_label("hidden unit 7:").tap()
    settle(page)
    assert re.fullmatch(r"grad_h\[82, 7\] = \S+, explained below\.", page.inner_text("#hover"))
    page.locator("#program").scroll_into_view_if_needed()
    assert page.locator("#epochs").bounding_box()["y"] == 0
    assert page.locator("#epochs").bounding_box()["height"] < 60
    assert page.locator("#view").bounding_box()["y"] < -100
    page.close()


@pytest.mark.extended
def test_another_activation_shows_the_formula_and_value_of_its_derivative(browser, tmp_path):
    path = tmp_path / "tanh.html"
    words = ["--seed", "0", "--hidden", "4", "--activation", "tanh", "--epochs", "3", "--no-open", "--html", str(path)]
    assert main(["tutorial", *words]) == 0
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("#agreement:has-text('jax.grad')")
    page.evaluate("select('grad_h', [17, 2])")
    settle(page)
    h = page.evaluate("get(current().values.h, 17, 2)")
    text = method(page, "derivative")
    assert text.startswith(f"tanh′(h) = {FORMULAS['tanh'][1]} = ")
    assert float(text.split(" = ")[-1]) == pytest.approx(1 - np.tanh(h) ** 2, rel=1e-5)
    assert re.fullmatch(rf"{NUMBER} · tanh′\({NUMBER}\)", method(page, "numbers"))
    page.close()


def test_every_control_has_a_name_for_screen_readers(page):
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, [role=button]")]
          .filter((node) => !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length))
          .map((node) => node.outerHTML)"""
    )
    assert unnamed == []
    assert page.locator("svg[role=img]").count() == 3
    assert all(chart.get_attribute("aria-label") for chart in page.locator("svg[role=img]").all())
