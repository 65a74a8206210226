"""A headless Chromium for the tests of the report, and a report to open in it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome")


def open_browser():
    """A Chromium without a window; the test is skipped where there is none.

    It logs the console and every request, and denies the network.
    """
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("there is no Chromium with its chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


class Browser:
    """What the tests do with a browser."""

    def __init__(self, driver):
        self.driver = driver
        self.cdp("Network.enable")

    def cdp(self, command, **arguments):
        return self.driver.execute_cdp_cmd(command, arguments)

    def resize(self, width, height=900, dark=False, mobile=False):
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=mobile,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.cdp("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, page: Path, width=1400, **size):
        self.resize(width, **size)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(page.as_uri())
        self.settle()

    def settle(self):
        """Wait until the page has drawn what a change asks for."""
        self.driver.execute_async_script(
            "const done = arguments[0];"
            "requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 20)));"
        )

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def find(self, selector):
        return self.driver.find_element("css selector", selector)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def console(self):
        """Messages of the console, violations of the policy among them."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self):
        """Addresses that the page asked for, without data in addresses."""
        events = [
            json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")
        ]
        found = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in found if not url.startswith(("data:", "blob:"))]

    def center(self, selector):
        """The middle of an element in the window, which is scrolled to it."""
        self.js("document.querySelector(arguments[0]).scrollIntoView({block: 'center'})", selector)
        self.settle()
        box = self.js(
            "return document.querySelector(arguments[0]).getBoundingClientRect()", selector
        )
        return box["left"] + box["width"] / 2, box["top"] + box["height"] / 2

    def mouse(self, kind, x, y, pressed=False):
        self.cdp(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button="left" if pressed or kind != "mouseMoved" else "none",
            buttons=int(pressed),
            clickCount=int(kind != "mouseMoved"),
        )

    def drag(self, start, end):
        self.mouse("mouseMoved", *start)
        self.mouse("mousePressed", *start, pressed=True)
        for part in (0.3, 0.7, 1.0):
            place = [a + part * (b - a) for a, b in zip(start, end, strict=True)]
            self.mouse("mouseMoved", *place, pressed=True)
        self.mouse("mouseReleased", *end)
        self.settle()

    def press(self, *keys):
        """Press keys where the focus is."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)
        self.settle()


# ---- a report ----

CLASSES = ("cat", "dog & <b>bone</b>")
NUM_IMAGES = 40


def scores_of(label):
    """Scores and kinds of the test images, in which every second image is anomalous."""
    random = np.random.default_rng(len(label))
    anomalous = np.arange(NUM_IMAGES) % 2 == 1
    return random.normal(5 + 2 * anomalous, 1).astype(np.float32), anomalous


def write_page(folder, text=lambda name: name, labels=("deep", "vae"), side=12):
    """Write a report with every interactive part.

    Args:
        folder: A folder.
        text: Changes every name that a user could choose.
        labels: Labels of the models.
        side: Pixels of an image.

    Returns:
        The path of the page.
    """
    from keras_ae.evaluation import parts, write_report
    from keras_ae.evaluation.comparisons import bench, latent_structure
    from keras_ae.evaluation.comparisons.base import Measurement, Result
    from keras_ae.evaluation.sprites import thumbnails

    random = np.random.default_rng(0)
    classes = tuple(map(text, CLASSES))
    shown = {label: text(label) for label in labels}
    kinds = np.arange(NUM_IMAGES, dtype=np.uint16) % 2
    images = random.uniform(0, 1, (NUM_IMAGES, side, side, 3)).astype(np.float32)
    pictures = thumbnails(images)

    def result(label, arrays, metrics, held_out=None):
        measured = Measurement(metrics, {**arrays, "pictures": pictures})
        return Result(shown[label], label, 42, 2, held_out, measured, False, False)

    places = np.arange(NUM_IMAGES, dtype=np.uint32)
    maps = [
        result(
            label,
            {
                "map": random.normal(kinds[:, None] * 4, 1, (NUM_IMAGES, 2)),
                "map_labels": kinds,
                "pictured": places,
                "picture_reconstructions": thumbnails(images / 2),
                "errors": np.linspace(1, 2, NUM_IMAGES, dtype=np.float32),
            },
            {"map_kind": "umap", "neighbour_accuracy": 0.9},
        )
        for label in labels
    ]
    benches = []
    for label in labels:
        scores, anomalous = scores_of(label)
        arrays = {"scores": scores, "anomalous": anomalous}
        arrays |= {"pictured": places, "pictured_labels": kinds}
        metrics = {"threshold": {"threshold": 6.5, "score": text("mse")}}
        benches.append(result(label, arrays, metrics, classes[1]))
    histories = [
        {
            "label": shown[label],
            "variant": label,
            "seed": seed,
            "held_out": None,
            "history": [
                {"epoch": epoch, "loss": 100 / epoch + seed, "val_loss": 110 / epoch + seed}
                for epoch in range(1, 6)
            ],
        }
        for label in labels
        for seed in (1, 2)
    ]
    curves = parts.curve_data(histories)

    def table(title, numbers, **more):
        column = {"key": "x", "heading": text("error"), "digits": 1, "better": "lower"}
        column["meaning"] = text("How wrong it is, in nats/image.")
        return {
            "title": text(title),
            "summary": text("A summary."),
            "columns": [column],
            "rows": [
                {"label": shown.get(label, text(label)), "kind": kind, "values": {"x": number}}
                for label, number, kind in numbers
            ],
            **more,
        }

    numbers = [(label, 30.5 - 10 * place, "variant") for place, label in enumerate(labels)]
    numbers += [("PCA", 25.0, "baseline")]

    def entries(made, name):
        return [parts.write(part, folder, name) for part in made]

    metrics = {
        "data": {"name": text("photographs"), "class_names": list(classes), "num_test": 40},
        "configurations": [{"label": shown[label], "variant": label} for label in labels],
        "comparisons": {
            "latent_structure": table(
                "Latent structure",
                numbers,
                interactive=entries(latent_structure.interactive(maps, [], classes, 1e6), "maps"),
                notes=[text("A note.")],
            ),
            "anomaly": table(
                "Anomaly detection",
                numbers,
                interactive=entries(bench.parts(benches, classes, 1e6, "x.png"), "bench"),
            ),
        },
        "interactive": [
            {
                **parts.write(bench.Part("curves", curves), folder, "training"),
                "section": "Training",
                "table": parts.loss_table(curves),
            }
        ],
        "missing": [{"what": text("A run"), "command": text("keras-ae train")}],
    }
    return write_report(metrics, folder)[1]
