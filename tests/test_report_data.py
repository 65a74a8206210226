"""Data of the report's interactive parts: sprite sheets, curves, maps, the anomaly bench."""

from __future__ import annotations

import base64
import io
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import FakeAutoencoder
from PIL import Image

from keras_ae.data import Split, Subset
from keras_ae.evaluation import parts, plots, sprites
from keras_ae.evaluation.comparisons import bench, latent_structure
from keras_ae.evaluation.comparisons.base import EvaluationData, Measurement, Part, Result
from keras_ae.evaluation.report import sections


def unpacked(packed):
    """What `decodeArray` of numbers.js returns."""
    return np.frombuffer(base64.b64decode(packed["base64"]), np.dtype(packed["type"]))


def unleveled(data):
    """What `decodeLevels` of numbers.js returns."""
    return data["low"] + data["step"] * unpacked(data["levels"])


def pictures(sheet, indices):
    """Images cut out of a sheet, as sprites.js does it."""
    kind, content = sheet["source"].split(";base64,")
    page = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    assert kind in ("data:image/png", "data:image/webp")
    height, width, columns = sheet["height"], sheet["width"], sheet["columns"]
    corners = [(index // columns * height, index % columns * width) for index in indices]
    return np.stack([page[top : top + height, left : left + width] for top, left in corners])


# ---- images as text ----


@pytest.mark.parametrize("shape", [(7, 5, 3), (10, 4, 6, 3), (1, 2, 2)])
def test_images_are_found_again_in_their_sheet(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    sheet = sprites.sheet(images)
    np.testing.assert_array_equal(pictures(sheet, range(len(images))), images)


def test_thumbnails_are_bytes_and_means_of_blocks():
    images = np.zeros((2, 4, 4, 1), np.float32)
    images[0, 0], images[1] = 0.5, 7.0
    assert sprites.thumbnails(images).shape == (2, 4, 4)
    assert sprites.thumbnails(images)[0, 0, 0] == 128 and sprites.thumbnails(images).max() == 255
    large = np.zeros((1, 130, 128, 3), np.float32)
    large[0, :3, :3] = 0.9  # one whole block of 3x3 pixels
    small = sprites.thumbnails(large)
    assert small.shape == (1, 43, 42, 3)
    assert small[0, 0, 0, 0] == round(0.9 * 255) and small[0, 1:].max() == 0


def test_arrays_are_little_endian():
    for array in (np.arange(5, dtype=">f4"), np.array([1, 65535], np.uint16)):
        np.testing.assert_array_equal(unpacked(sprites.packed(array)), array)


def test_levels_keep_the_side_of_the_threshold():
    values = np.sort(np.random.default_rng(0).lognormal(3, 1, 5000)).astype(np.float32)
    for threshold in [*values[[0, 1, 2500, 2501, 4998, 4999]].astype(float), 0.0, 1e9]:
        shown = unleveled(sprites.leveled(values, threshold))
        np.testing.assert_array_equal(shown > threshold, values > threshold)
        assert np.abs(shown - values).max() <= 2 * (values.max() - values.min()) / 65535
    assert unleveled(sprites.leveled(np.full(3, 7.5), 7.5)).tolist() == [7.5] * 3


def test_the_number_of_images_is_what_fits():
    made = sprites.fitting(lambda num: "x" * (100 * num), 50, 2, 1500)
    assert 1000 <= len(made) <= 1500
    assert len(sprites.fitting(lambda num: "x" * (100 * num), 50, 20, 1500)) == 2000
    assert len(sprites.fitting(lambda num: "x" * (100 * num), 3, 2, 1500)) == 300


# ---- curves ----


def run_of(label, variant="deep", history=(), seed=42, held_out=None):
    return {
        "label": label,
        "variant": variant,
        "seed": seed,
        "held_out": held_out,
        "history": list(history),
    }


def test_curves_have_every_loss_and_no_number_that_is_not_finite():
    history = [
        {"epoch": 1, "loss": 3.0, "val_loss": math.nan, "seconds": 1.0},
        {"epoch": 2, "loss": math.inf, "val_loss": 2.5, "seconds": 1.0},
    ]
    data = parts.curve_data([run_of("a", history=history), run_of("b")])
    assert [one["key"] for one in data["quantities"]] == ["loss"]
    assert data["runs"][0]["values"] == {"loss": [3.0, None], "val_loss": [None, 2.5]}
    assert data["runs"][1]["values"] == {} and data["runs"][1]["epochs"] == []
    json.dumps(data, allow_nan=False)
    rows = parts.loss_table(data)["rows"]
    assert rows[0]["values"] == [None, 2.5, 2.5, "2"]
    assert rows[1]["values"] == [None, None, None, "–"]


def test_long_curves_are_thinned_and_keep_their_ends():
    history = [{"epoch": epoch, "loss": 1 / epoch} for epoch in range(1, 1004)]
    epochs = parts.curve_data([run_of("a", history=history)])["runs"][0]["epochs"]
    assert (epochs[0], epochs[-1]) == (1, 1003) and len(epochs) <= parts.MAX_POINTS + 2


def test_variants_of_one_color_are_told_apart():
    names = ["deep", "vae", "convolutional", "vq_vae", "sparse", "not_known", "another"]
    places = parts.distinct_colors(names)
    assert len(set(places.values())) == len(names)
    for name in ("deep", "vae", "sparse"):
        assert plots.VARIANT_COLORS[places[name]] == plots.variant_style(name)["color"]
    many = parts.distinct_colors(map(str, range(40)))
    assert set(many.values()) <= set(range(len(plots.VARIANT_COLORS)))


def test_what_figures_and_text_leave_is_for_the_parts(tmp_path):
    (tmp_path / "a.png").write_bytes(b"0" * 3_000_000)
    figures = [{"file": "a.png"}, {"file": "lost.png"}]
    assert parts.room(8, figures, tmp_path) == pytest.approx(8e6 - parts.PAGE_BYTES - 4e6)
    assert parts.room(1, figures, tmp_path) == parts.LEAST_BYTES
    assert sum(parts.SHARES.values()) < 1


def test_an_entry_names_the_file_beside_the_figures(tmp_path):
    entry = parts.write(Part("curves", {"a": 1}, ("b.png",)), tmp_path, "training")
    assert entry == {"kind": "curves", "file": "training.curves.json", "replaces": ["b.png"]}
    assert sections.read_data(entry, tmp_path) == {"a": 1}
    with pytest.raises(ValueError, match="JSON"):
        parts.write(Part("curves", {"a": math.nan}), tmp_path, "training")


# ---- maps ----


class Halving(FakeAutoencoder):
    """Its code is two pixels of the image; its reconstruction is half as bright."""

    def encode(self, images):
        return images[:, 0, :2]

    def reconstruct(self, images):
        return images / 2


def subset(num, seed=0, labeled=True):
    random = np.random.default_rng(seed)
    images = random.uniform(0, 1, (num, 4, 4)).astype("float32")
    return Subset(images, random.integers(0, 3, num) if labeled else None)


@pytest.mark.parametrize("labeled", [True, False])
def test_points_of_a_map_show_their_own_image(labeled):
    test = subset(90, labeled=labeled)
    data = EvaluationData(Split(test, test, test), tuple("abc") if labeled else ())
    made = latent_structure.measure(Halving(), data, seed=3, projection="umap")
    results = [
        Result(label, "deep", 3, 2, None, made, False, False) for label in ("one", "one", "two")
    ]
    (part,) = latent_structure.interactive(results, [], data.class_names, 1e6)
    assert (part.kind, part.replaces) == ("maps", ("latent_structure.png",))
    assert [one["label"] for one in part.data["maps"]] == ["one", "two"]
    json.dumps(part.data, allow_nan=False)
    # A code of two numbers is its own map: points, images and errors belong together.
    num = 90
    points = unpacked(part.data["maps"][0]["points"]).reshape(num, 2).astype(float)
    shown = pictures(part.data["images"], range(num)) / 255.0
    codes = shown[:, 0, :2] * [1, -1]  # up is down on a page
    for axis in (0, 1):
        assert np.corrcoef(points[:, axis], codes[:, axis])[0, 1] > 0.999
    errors = unpacked(part.data["maps"][0]["errors"])
    np.testing.assert_allclose(errors, np.square(shown / 2).sum(axis=(1, 2)), rtol=0.02)
    if labeled:
        by_image = {
            image.tobytes(): label
            for image, label in zip(sprites.thumbnails(test.images), test.labels, strict=True)
        }
        expected = [
            by_image[image.tobytes()] for image in pictures(part.data["images"], range(num))
        ]
        assert unpacked(part.data["labels"]).tolist() == expected
    else:
        assert part.data["labels"] is None and part.data["class_names"] == []


def test_a_smaller_page_has_fewer_points_of_the_same_places():
    test = subset(600)
    data = EvaluationData(Split(test, test, test), tuple("abc"))
    made = latent_structure.measure(Halving(), data, seed=3, projection="umap")
    results = [Result("one", "deep", 3, 2, None, made, False, False)]
    (large,) = latent_structure.interactive(results, [], data.class_names, 1e7)
    (small,) = latent_structure.interactive(results, [], data.class_names, 20_000)
    places = [unpacked(part.data["maps"][0]["points"]) for part in (large, small)]
    assert len(places[0]) == 1200 and 400 <= len(places[1]) < 1200
    np.testing.assert_array_equal(places[0][: len(places[1])], places[1])
    assert len(json.dumps(small.data)) <= 20_000 or len(places[1]) == 400


# ---- the anomaly bench ----


def scored(label, scores, held_out="b", threshold=0.5, pictured=(0, 1), seed=1):
    arrays = {
        "scores": np.asarray(scores, np.float32),
        "anomalous": np.arange(len(scores)) % 2 == 1,
        "pictured": np.array(pictured, np.uint32),
        "pictures": np.zeros((len(pictured), 4, 4), np.uint8),
    }
    metrics = {"threshold": {"threshold": threshold, "score": "mse"}}
    return Result(label, "deep", seed, 2, held_out, Measurement(metrics, arrays), False, False)


def test_bench_has_the_first_seed_of_each_label_and_class():
    results = [
        scored("deep", [0.1, 0.9], held_out="a"),
        scored("deep", [0.2, 0.8], held_out="a", seed=2),
        scored("deep", [0.3, 0.7], held_out="b"),
        scored("vae", [0.4, 0.6], held_out="a", pictured=(1,)),
    ]
    (part,) = bench.parts(results, ("a", "b"), 1e6, "scores.png")
    runs = part.data["runs"]
    assert [(run["label"], run["held_out"]) for run in runs] == [
        ("deep", "a"), ("vae", "a"), ("deep", "b")
    ]  # fmt: skip
    np.testing.assert_allclose(unleveled(runs[0]["scores"]), [0.1, 0.9], rtol=1e-6)
    assert unpacked(part.data["kinds"][runs[0]["kinds"]]).tolist() == [0, 1]
    assert len(part.data["kinds"]) == 1 and part.data["num_left_out"] == 0
    assert [run["sheet"] for run in runs] == [0, 1, 0] and len(part.data["sheets"]) == 2
    assert unpacked(part.data["sheets"][1]["indices"]).tolist() == [1]
    (few,) = bench.parts(results, ("a", "b"), 30, "scores.png")  # 8 bytes of scores a run
    assert len(few.data["runs"]) == 2  # each label first with one class
    assert few.data["num_left_out"] == 1
    assert bench.parts([], ("a", "b"), 1e6, "scores.png") == []


def test_threshold_of_the_bench_is_that_of_the_verdicts():
    score = np.float32(0.1)
    (part,) = bench.parts([scored("deep", [score, 0.9], threshold=0.1)], (), 1e6, "x.png")
    run = part.data["runs"][0]
    assert not unleveled(run["scores"])[0] > run["threshold"]  # 0.1 as float64 is below it


def test_pictured_images_show_every_class_however_few():
    labels = np.repeat([0, 1, 2], [500, 5, 1])
    images = np.zeros((506, 4, 4), np.float32)
    images[:, 0, 0] = labels / 2
    made = bench.pictures_of(Subset(images, labels))
    assert set(made["pictured_labels"][:3]) == {0, 1, 2}
    assert sorted(made["pictured"]) == list(range(506))
    np.testing.assert_array_equal(made["pictured_labels"], labels[made["pictured"]])
    np.testing.assert_array_equal(made["pictures"], sprites.thumbnails(images[made["pictured"]]))
    assert "pictured_labels" not in bench.pictures_of(SimpleNamespace(images=images, labels=None))


# ---- verdicts ----


def verdict(rows, **column):
    column = {"key": "x", "heading": "X", "digits": 2, "better": "lower", **column}
    content = {"comparisons": {"c": {"title": "T", "columns": [column], "rows": rows}}}
    (sentence,) = sections.verdicts(content)
    return sentence


def row(label, number, kind="variant"):
    return {"label": label, "kind": kind, "values": {"x": {"mean": number, "std": None, "num": 1}}}


def test_verdict_names_better_baselines_but_no_limit_that_nothing_can_beat():
    rows = [row("a", 2), row("b", 3), row("limit", 0, "baseline"), row("PCA", 1.5, "baseline")]
    assert "Better baselines: limit, 0.00; PCA, 1.50." in verdict(rows)
    assert "Better baselines: PCA, 1.50." in verdict(rows, bounds=["limit"])
    assert "No baseline is better." in verdict(
        [*rows[:3], row("PCA", 9, "baseline")], bounds=["limit"]
    )
    assert "aseline" not in verdict(rows[:3], bounds=["limit"])


def test_verdict_says_where_the_best_is_worse_than_chance():
    rows = [row("a", 0.4), row("b", 0.3)]
    assert "worse than chance, 0.5" in verdict(rows, better="higher", chance=0.5)
    assert "chance" not in verdict([*rows, row("c", 0.6)], better="higher", chance=0.5)
    assert "chance" not in verdict(rows, better="higher")
