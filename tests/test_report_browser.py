"""The report in a real browser: what hover, drag, keys and clicks do, and what must not happen."""

from __future__ import annotations

import re

import numpy as np
import pytest
from browser import AXE, CLASSES, Browser, open_browser, scores_of, write_page

LEFT, RIGHT, END = "\ue012", "\ue014", "\ue010"  # keys of WebDriver
ENTER, ESCAPE, TAB = "\ue007", "\ue00c", "\ue004"
WIDTHS = (400, 1000, 1400)
ATTACK = (
    "<script>window.attacked = 1</script><img src=x onerror='attacked = 1'>"
    "\"'><svg onload=attacked=1></script><!--"
)


@pytest.fixture(scope="module")
def browser():
    driver = open_browser()
    yield Browser(driver)
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_page(tmp_path_factory.mktemp("report"))


@pytest.fixture
def opened(browser, page):
    browser.open(page)
    return browser


def overflow(browser):
    """Elements that reach beyond the window or their scrolling frame, as texts."""
    return browser.js(
        """
        const found = [];
        const width = document.documentElement.clientWidth;
        if (document.documentElement.scrollWidth > width) found.push("the page");
        for (const frame of document.querySelectorAll(".scroll"))
          if (frame.scrollWidth > frame.clientWidth + 1) found.push("a table");
        for (const element of document.querySelectorAll("main *, nav *")) {
          const box = element.getBoundingClientRect();
          const hidden = element.closest(".visually-hidden, svg svg");
          if (box.width && box.right > width + 1 && !hidden)
            found.push(`${element.outerHTML.slice(0, 80)}: ${element.textContent.slice(0, 40)}`);
        }
        return found;
        """
    )


# ---- the page ----


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True])
def test_page_opens_from_a_file_without_messages_requests_and_cut_content(
    browser, page, width, dark
):
    browser.open(page, width, dark=dark)
    for details in browser.all("details"):
        browser.js("arguments[0].open = true", details)
    browser.settle()
    assert overflow(browser) == []
    assert browser.console() == []
    assert browser.requests() == [page.as_uri()]
    assert len(browser.all(".interactive > .fallback")) == 3
    assert not any(part.is_displayed() for part in browser.all(".interactive > .fallback"))
    assert all(part.is_displayed() for part in browser.all(".map, svg.bench, svg.chart"))


def test_policy_stops_other_scripts_and_requests(opened):
    assert opened.js("return typeof attacked") == "undefined"
    opened.js(
        "const script = document.createElement('script');"
        "script.textContent = 'window.attacked = 1'; document.body.append(script);"
        "const image = document.createElement('img'); image.src = 'x.png';"
        "document.body.append(image);"
        "const words = document.createElement('p'); words.setAttribute('style', 'color: red');"
        "document.body.append(words);"
    )
    refused = opened.driver.execute_async_script(
        "const done = arguments[0];fetch('report.md').then(() => done(false), () => done(true));"
    )
    opened.settle()
    assert refused and opened.js("return typeof attacked") == "undefined"
    blocked = " ".join(opened.console())
    for directive in ("script-src", "img-src", "style-src", "connect-src"):
        assert directive in blocked


def test_planted_markup_stays_text(browser, tmp_path):
    page = write_page(tmp_path, text=lambda name: ATTACK + name)
    browser.open(page)
    x, y = browser.center(".map")
    browser.drag((x - 200, y - 200), (x + 200, y + 200))
    browser.find(".handle").send_keys(*[LEFT] * 60)
    browser.js("document.querySelector('.sort').focus()")
    for part in (".contact-sheet figcaption", ".change figure canvas", ".tip", ".legend button"):
        assert browser.all(part), part
    browser.center("svg.chart:not(.bench)")
    for x in range(100, 900, 40):
        browser.mouse("mouseMoved", x, y)
    assert browser.js("return typeof attacked") == "undefined"
    assert ATTACK in browser.js("return document.querySelector('.legend button').textContent")
    assert browser.all("main img[src=x], main svg[onload], main b") == []
    assert browser.console() == [] and browser.requests() == [page.as_uri()]


def test_without_scripts_the_page_shows_tables_and_what_stands_for_the_parts(browser, page):
    browser.cdp("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.resize(1000)
        browser.driver.get(page.as_uri())
        shown = [part.is_displayed() for part in browser.all(".interactive > .fallback")]
        assert shown == [True] * 3
        assert "30.5" in browser.find("main").text and not browser.all(".sort, .map")
    finally:
        browser.cdp("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1400])
def test_axe_finds_no_fault(browser, page, width, dark):
    if not AXE.is_file():
        pytest.skip("axe-core is not installed (npm install)")
    browser.open(page, width, dark=dark)
    for details in browser.all("details"):
        browser.js("arguments[0].open = true", details)
    if width > 640:
        browser.js("document.querySelector('.sort').focus()")
    browser.driver.execute_script(AXE.read_text(encoding="utf-8"))
    found = browser.driver.execute_async_script(
        "const done = arguments[0]; axe.run().then((result) => done(result.violations))"
    )
    faults = [
        f"{one['impact']} {one['id']}: {node['html'][:120]} {node['failureSummary']}"
        for one in found
        for node in one["nodes"]
        if one["impact"] in ("serious", "critical")
    ]
    assert faults == []


# ---- tables ----


def first_column(browser, table=0):
    rows = browser.all("main table")[table].find_elements("css selector", "tbody th")
    return [row.text for row in rows]


def test_headings_sort_rows_and_baselines_stay_apart(opened):
    tables = opened.js(
        "return [...document.querySelectorAll('main table')].map((table) => table.innerText)"
    )
    place = next(place for place, text in enumerate(tables) if "PCA" in text)
    assert first_column(opened, place) == ["deep", "vae", "PCA"]
    heading = opened.all("main table")[place].find_elements("css selector", ".sort")[1]
    orders = []
    for _ in range(3):
        heading.send_keys(ENTER)
        orders.append(
            (
                heading.find_element("xpath", "..").get_attribute("aria-sort"),
                first_column(opened, place),
            )
        )
    assert orders == [
        ("ascending", ["vae", "deep", "PCA"]),
        ("descending", ["deep", "vae", "PCA"]),
        (None, ["deep", "vae", "PCA"]),
    ]


def test_heading_explains_itself_to_pointer_and_keyboard(opened):
    heading = [one for one in opened.all(".sort") if one.text.startswith("error")][0]
    opened.js("arguments[0].focus()", heading)
    tip = opened.find("[role=tooltip]")
    assert tip.text == "How wrong it is, in nats/image."
    assert heading.get_attribute("aria-describedby") == tip.get_attribute("id")
    opened.press(ESCAPE)
    assert opened.all("[role=tooltip]") == []
    opened.js("document.activeElement.blur()")
    box = opened.js(
        "arguments[0].scrollIntoView({block: 'center'});"
        "return arguments[0].getBoundingClientRect()",
        heading,
    )
    opened.mouse("mouseMoved", box["left"] + 5, box["top"] + 5)
    opened.settle()
    assert opened.find("[role=tooltip]").is_displayed()
    opened.mouse("mouseMoved", 2, 2)
    opened.settle()
    assert opened.all("[role=tooltip]") == []


def test_first_column_stays_where_a_table_scrolls(opened):
    left = opened.js(
        """
        const frame = document.querySelector(".scroll");
        frame.style.width = "200px";
        frame.scrollLeft = 60;
        return [frame.scrollLeft, frame.querySelector("tbody th").getBoundingClientRect().left -
          frame.getBoundingClientRect().left];
        """
    )
    assert left[0] > 0 and abs(left[1]) < 1


def test_table_is_copied_as_csv(opened):
    opened.js("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    opened.js("document.querySelector('#anomaly-detection .copy').click()")
    opened.settle()
    assert opened.js("return window.copied") == (
        "variant,error ↓\r\ndeep,30.5\r\nvae,20.5\r\nPCA,25.0\r\n"
    )
    assert opened.find("#anomaly-detection .copy").text == "Copied"


# ---- maps ----


def test_hover_on_a_map_shows_image_reconstruction_class_and_error(opened):
    x, y = opened.center(".map")
    frame = opened.js("return document.querySelector('.map').getBoundingClientRect()")
    for step in range(400):
        angle, radius = step * 0.7, step * frame["width"] / 800
        opened.mouse("mouseMoved", x + radius * np.cos(angle), y + radius * np.sin(angle))
        if opened.js("return !document.querySelector('.map-tip').hidden"):
            break
    tip = opened.find(".map-tip")
    assert len(tip.find_elements("css selector", "canvas")) == 2
    index = int(tip.find_element("css selector", "canvas").get_attribute("data-image"))
    assert f"class {CLASSES[index % 2]}" in tip.text
    assert f"squared error {1 + index / 39:.3g}" in tip.text
    bright = opened.js(
        """
        return [...document.querySelectorAll(".map-tip canvas")].map((canvas) => {
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          return data.reduce((sum, value, place) => sum + (place % 4 < 3 ? value : 0), 0);
        });
        """
    )
    assert 0.4 < bright[1] / bright[0] < 0.6  # the reconstruction of the data is half as bright
    opened.mouse("mouseMoved", 2, 2)
    assert not tip.is_displayed()


def test_rectangle_on_a_map_selects_images_of_both_maps(opened):
    x, y = opened.center(".map")
    size = opened.js("return document.querySelector('.map').clientWidth") / 2 - 2
    opened.drag((x - size, y - size), (x + size, y + size))
    assert "40 images: 20 of class cat, 20 of class dog" in opened.find(".selection").text
    cells = opened.all(".contact-sheet figure")
    assert len(cells) == 40
    titles = [cell.get_attribute("title") for cell in cells]
    errors = [float(title.rsplit(" ", 1)[1]) for title in titles]
    assert errors == sorted(errors, reverse=True)
    opened.find(".selection button").click()
    assert opened.all(".contact-sheet figure") == []
    opened.find(".legend button").click()
    assert opened.find(".selection").text.startswith("20 images: 20 of class cat")


def test_keys_go_through_a_map(opened):
    opened.js("document.querySelector('.map').focus()")
    opened.press(RIGHT)
    assert opened.find(".map-tip").is_displayed()
    spoken = opened.js(
        "return document.querySelector('#latent-structure [role=status]').textContent"
    )
    assert re.fullmatch(r"class .+, squared error 1\.?\d*|class .+, squared error 2", spoken)
    opened.press(ENTER)
    assert opened.all(".contact-sheet figure")
    opened.press(ESCAPE)
    assert not opened.all(".contact-sheet figure") and not opened.find(".map-tip").is_displayed()


def test_map_is_colored_by_error_on_request(opened):
    colors = "const c = document.querySelector('.map'); return c.toDataURL()"
    before = opened.js(colors)
    opened.all("#latent-structure .switcher button")[1].click()
    opened.settle()
    assert opened.js(colors) != before
    assert "squared error" in opened.find("#latent-structure .legend").text


# ---- the bench ----


def facts(browser):
    """The numbers shown, by their names."""
    return browser.js(
        """
        return Object.fromEntries([...document.querySelectorAll(".facts > div")].map((one) => [
          one.querySelector("dt").textContent,
          [one.querySelector("strong").textContent, one.querySelector("span").textContent],
        ]));
        """
    )


def expected(label, threshold):
    scores, anomalous = scores_of(label)
    above = scores > threshold
    found, alarms = int((above & anomalous).sum()), int((above & ~anomalous).sum())
    return {
        "Recall": f"{found} of {anomalous.sum()} anomalous images found",
        "Precision": f"{found} of {found + alarms} alarms are right",
        "False positives": f"{alarms} of {(~anomalous).sum()} normal images",
    }


def check_facts(browser, label):
    shown = facts(browser)
    threshold = float(browser.find(".handle").get_attribute("aria-valuenow"))
    assert {name: words for name, (_, words) in shown.items() if name != "Threshold"} == expected(
        label, threshold
    )
    return threshold


def test_threshold_follows_the_pointer_with_the_numbers_of_numpy(opened):
    assert check_facts(opened, "deep") == 6.5
    x, y = opened.center("svg.bench")
    stored = opened.js(
        "const box = document.querySelector('.stored').getBoundingClientRect(); return box.left"
    )
    opened.drag((stored, y), (stored - 150, y))
    lower = check_facts(opened, "deep")
    assert lower < 6.5
    scores, anomalous = scores_of("deep")
    between = (scores > lower) & (scores <= 6.5)
    for group, chosen in (("found", anomalous), ("false-alarm", ~anomalous)):
        words = opened.find(f".change.{group} h4").text
        assert words.split()[0] == str((between & chosen).sum())
        indices = [
            int(canvas.get_attribute("data-image"))
            for canvas in opened.all(f".change.{group} canvas")
        ]
        assert set(indices) <= set(np.flatnonzero(between & chosen))
        assert len(indices) == min(18, (between & chosen).sum())
    opened.find("#anomaly-detection .controls button").click()
    assert check_facts(opened, "deep") == 6.5 and not opened.all(".change")


def test_threshold_follows_the_keys_and_the_model(opened):
    opened.js("document.querySelector('.handle').focus()")
    opened.press(*[RIGHT] * 3)
    assert check_facts(opened, "deep") > 6.5
    opened.press(END)
    assert facts(opened)["Recall"][0] in ("0%", "5%")
    choose = opened.find("#anomaly-detection .controls select")
    choose.find_elements("css selector", "option")[1].click()
    opened.settle()
    assert check_facts(opened, "vae") == 6.5


# ---- curves ----


def test_curves_have_a_line_for_each_run_and_loss_and_two_axes(opened):
    chart = "#training svg.chart"
    lines = opened.all(f"{chart} path.line")
    assert len(lines) == 8  # two models, two seeds, training and validation
    before = lines[0].get_attribute("d")
    opened.all("#training .switcher button")[1].click()
    opened.settle()
    assert opened.find(f"{chart} path.line").get_attribute("d") != before
    opened.all("#training .legend button")[0].click()
    opened.settle()
    assert len(opened.all(f"{chart} path.line")) == 4
    opened.center(chart)
    box = opened.js(f"return document.querySelector('{chart} path.line').getBoundingClientRect()")
    opened.mouse("mouseMoved", box["left"] + 1, box["top"] + 1)
    opened.settle()
    words = opened.find("#training .readout").text
    assert words.startswith("vae seed") and "epoch 1: 1" in words
