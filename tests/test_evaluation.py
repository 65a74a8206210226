"""Measuring, caching and drawing, with fake comparisons that count their calls."""

import dataclasses
import gc
import importlib
import json
import os
import shutil
import subprocess
import sys
import types
import weakref
from pathlib import Path

import numpy as np
import pytest
from fake_runs import write_run

import keras_ae
from keras_ae import data
from keras_ae.evaluation import cache as caching
from keras_ae.evaluation import evaluation
from keras_ae.evaluation.cache import MeasurementCache, combine_made_by, join
from keras_ae.evaluation.comparisons import COMPARISONS, Column, Comparison, reference_classifier
from keras_ae.evaluation.comparisons.base import Figure, Measurement
from keras_ae.evaluation.evaluation import Evaluation, baseline_results, load_data
from keras_ae.evaluation.published import follows_bake_off
from keras_ae.runs.catalog import find_runs, sorted_runs


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    keras_ae.Shallow(image_shape=(4, 4), latent_dim=2).save(path)
    return path


@pytest.fixture(scope="module")
def image_set():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (240, 4, 4)).astype("uint8")
    labels = np.arange(240) % 3
    return data.ImageSet("toy", images, labels, images[:30], labels[:30], ("0", "1", "2"))


class Fake(types.ModuleType):
    """A comparison that records its arguments."""

    VERSION = 1

    def __init__(self, name):
        super().__init__(name)
        self.calls, self.drawn, self.fails = [], 0, False

    def measure(self, model, problem, *, seed, **options):
        if self.fails:
            raise ValueError("cannot be done")
        self.calls.append((model.latent_dim, problem.held_out, seed, options, problem.split))
        return Measurement({"score": 0.5}, {"picture": np.arange(3.0)})

    def baselines(self, problem, *, seed, **options):
        self.calls.append(("baseline", problem.held_out, seed, options, problem.split))
        return {"chance": Measurement({"score": 0.1}, {"line": np.ones(2)})}

    def draw(self, results, baselines, data, folder):
        self.drawn += 1
        (folder / "fake.png").write_bytes(b"picture")
        return [Figure(folder / "fake.png", f"{len(results)} runs")]


@pytest.fixture
def fakes(monkeypatch):
    made = {}
    for name, held_out, options in (("whole", False, ("projection",)), ("novel", True, ())):
        made[name] = Fake(f"keras_ae.evaluation.comparisons.{name}")
        monkeypatch.setitem(sys.modules, made[name].__name__, made[name])
        columns = (Column("score", "score", 2, "higher"),)
        comparison = Comparison(name, name, "", columns, held_out=held_out, options=options)
        monkeypatch.setitem(COMPARISONS, name, comparison)
    return made


@pytest.fixture
def runs(tmp_path, image_set, model_file):
    folder = tmp_path / "runs"
    request = {"latent_dim": 2, "dataset": "toy", "fingerprint": image_set.fingerprint}
    for name, seed, held_out in (("a", 1, None), ("b", 2, None), ("c", 1, "2"), ("d", 1, "0")):
        run = write_run(folder / name, "shallow", seed=seed, held_out_class=held_out, **request)
        shutil.copy(model_file, run / "model.keras")
    return folder


def evaluate(runs, image_set, folder, names=("whole", "novel"), force=False, **changes):
    arguments = {"options": {"projection": "umap"}, "seed": 7, **changes}
    found = sorted_runs(find_runs(runs).runs)
    done = Evaluation(image_set, found, list(names), folder, **arguments)
    done.measure(force=force, enabled=False)
    return done


def test_runs_are_measured_on_their_own_splits(runs, image_set, fakes, tmp_path):
    done = evaluate(runs, image_set, tmp_path / "out")
    whole = [call for call in fakes["whole"].calls if call[0] != "baseline"]
    novel = [call for call in fakes["novel"].calls if call[0] != "baseline"]
    assert [call[1:4] for call in whole] == [(None, 7, {"projection": "umap"})] * 2
    for call, seed in zip(whole, (1, 2), strict=True):
        expected = data.split(image_set, seed=seed).train.images
        np.testing.assert_array_equal(call[4].train.images, expected)
    assert sorted(call[1] for call in novel) == [0, 2]
    for call in novel:
        assert call[1] not in call[4].train.labels and call[1] in call[4].test.labels
        assert call[3] == {}
    entries = done.results("novel")
    assert {(entry.label, entry.held_out, entry.seed) for entry in entries} == {
        ("shallow", "0", 1),
        ("shallow", "2", 1),
    }
    assert entries[0].measurement.metrics == {"score": 0.5}


def test_baselines_are_measured_once_for_each_held_out_class(runs, image_set, fakes, tmp_path):
    done = evaluate(runs, image_set, tmp_path / "out")
    assert [call[1] for call in fakes["whole"].calls if call[0] == "baseline"] == [None]
    assert sorted(call[1] for call in fakes["novel"].calls if call[0] == "baseline") == [0, 2]
    assert {(one.label, one.held_out) for one in done.baselines("novel")} == {
        ("chance", "0"),
        ("chance", "2"),
    }
    np.testing.assert_array_equal(done.baselines("whole")[0].measurement.arrays["line"], [1, 1])


def count(fakes):
    return {name: len(fake.calls) for name, fake in fakes.items()}


def test_second_evaluation_uses_the_cache(runs, image_set, fakes, tmp_path):
    first = evaluate(runs, image_set, tmp_path / "out")
    before = count(fakes)
    assert before == {"whole": 3, "novel": 4}
    second = evaluate(runs, image_set, tmp_path / "out")
    assert count(fakes) == before
    for name in ("whole", "novel"):
        for one, other in zip(first.results(name), second.results(name), strict=True):
            assert one[:5] == other[:5] and one.measurement.metrics == other.measurement.metrics
            np.testing.assert_array_equal(*(x.measurement.arrays["picture"] for x in (one, other)))
        labels = [[one.label for one in done.baselines(name)] for done in (first, second)]
        assert labels[0] == labels[1]
    evaluate(runs, image_set, tmp_path / "out", force=True)
    assert count(fakes) == {"whole": 6, "novel": 8}


def test_only_stale_measurements_are_recomputed(runs, image_set, fakes, tmp_path):
    def again(**changes):
        before = count(fakes)
        evaluate(runs, image_set, tmp_path / "out", **changes)
        return {name: count(fakes)[name] - before[name] for name in before}

    again()
    keras_ae.Shallow(image_shape=(4, 4), latent_dim=2).save(runs / "a" / "model.keras")
    assert again() == {"whole": 1, "novel": 0}
    assert again(options={"projection": "tsne"}) == {"whole": 3, "novel": 0}
    assert again(options={"projection": "tsne"}, seed=8) == {"whole": 3, "novel": 4}
    assert again() == {"whole": 0, "novel": 0}  # earlier results stay cached
    kept = sorted((tmp_path / "out" / ".parts").glob("whole/b-*.npz"))
    assert len(kept) == 3
    for path in kept:
        path.write_bytes(b"PK damaged")
    assert again() == {"whole": 1, "novel": 0}
    for seed in range(10, 16):
        again(seed=seed)
    assert len(list((tmp_path / "out" / ".parts").glob("whole/b-*.npz"))) == caching.MAX_ENTRIES


def test_renamed_files_are_measured_again_where_results_name_them(
    runs, image_set, fakes, tmp_path, monkeypatch
):
    comparison = dataclasses.replace(COMPARISONS["novel"], names=True)
    monkeypatch.setitem(COMPARISONS, "novel", comparison)

    def named(last):
        names = np.array([f"{place}.png" for place in range(239)] + [last], object)
        return dataclasses.replace(image_set, train_names=names)

    for last, expected in (("239.png", (3, 4)), ("239.png", (3, 4)), ("new.png", (3, 8))):
        evaluate(runs, named(last), tmp_path / "out")
        assert tuple(count(fakes).values()) == expected


def test_new_comparison_version_is_measured_again(runs, image_set, fakes, tmp_path):
    evaluate(runs, image_set, tmp_path / "out")
    before = count(fakes)
    fakes["novel"].VERSION = 2
    evaluate(runs, image_set, tmp_path / "out")
    assert count(fakes) == {"whole": before["whole"], "novel": 2 * before["novel"]}


def test_new_reference_classifier_version_is_measured_again(
    runs, image_set, fakes, tmp_path, monkeypatch
):
    uses = dataclasses.replace(COMPARISONS["novel"], reference_classifier=True)
    monkeypatch.setitem(COMPARISONS, "novel", uses)
    monkeypatch.setattr(
        reference_classifier, "train_reference_classifier", lambda *arguments: "classifier"
    )
    evaluate(runs, image_set, tmp_path / "out")
    before = count(fakes)
    monkeypatch.setattr(reference_classifier, "VERSION", 2)
    evaluate(runs, image_set, tmp_path / "out")
    assert count(fakes) == {"whole": before["whole"], "novel": 2 * before["novel"]}


@pytest.mark.parametrize("package", ["keras_ae", "umap-learn"])
def test_new_package_version_is_measured_again(
    runs, image_set, fakes, tmp_path, monkeypatch, package
):
    first = evaluate(runs, image_set, tmp_path / "out")
    before = count(fakes)
    versions = {**caching.package_versions(), package: "999.0"}
    monkeypatch.setattr(evaluation, "package_versions", lambda: versions)
    second = evaluate(runs, image_set, tmp_path / "out")
    assert count(fakes) == {name: 2 * number for name, number in before.items()}
    # Each report prints only the version that made its numbers.
    assert second.made_by()["versions"] == versions
    assert first.made_by()["versions"] != versions
    monkeypatch.undo()


def test_versions_in_the_report_are_those_that_made_the_numbers(
    runs, image_set, fakes, tmp_path, monkeypatch
):
    """Also if the cache has files of several versions, for example after copying."""
    made_by = evaluate(runs, image_set, tmp_path / "out").made_by()
    assert made_by["versions"] == caching.package_versions() and made_by["mixed"] == []
    assert made_by["device"]
    cache = MeasurementCache(tmp_path / "out" / ".parts")
    path = next((tmp_path / "out" / ".parts" / "whole").glob("a-*.npz"))
    old = cache.get(path)
    other = {"versions": {**old.made_by["versions"], "keras": "3.14.0"}, "device": "GPU"}
    cache.put(path, dataclasses.replace(old, made_by=other))
    mixed = evaluate(runs, image_set, tmp_path / "out").made_by()
    assert mixed["mixed"] == ["keras", "device"]
    assert "3.14.0" in mixed["versions"]["keras"] and "GPU" in mixed["device"]
    assert made_by["versions"]["keras"] in mixed["versions"]["keras"]


def test_cached_measurement_without_versions_is_measured_again(runs, image_set, fakes, tmp_path):
    evaluate(runs, image_set, tmp_path / "out")
    before = count(fakes)
    path = next((tmp_path / "out" / ".parts" / "whole").glob("a-*.npz"))
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files if name != "made_by"}
    np.savez(path, **arrays)
    evaluate(runs, image_set, tmp_path / "out")
    assert count(fakes) == {"whole": before["whole"] + 1, "novel": before["novel"]}


def test_data_sets_are_freed_after_their_evaluation(runs, fakes, tmp_path, image_set):
    image_set = dataclasses.replace(image_set)
    done = evaluate(runs, image_set, tmp_path / "out")
    done.draw("whole", force=True)
    for fake in fakes.values():
        fake.calls.clear()
    parts = [weakref.ref(image_set), weakref.ref(done._data[1].split), weakref.ref(done)]
    gc.collect()
    gc.disable()
    try:
        del done, image_set
        assert [part() for part in parts] == [None] * 3
    finally:
        gc.enable()


def test_cached_evaluation_loads_neither_keras_nor_tensorflow(
    runs, image_set, fakes, tmp_path, monkeypatch
):
    evaluate(runs, image_set, tmp_path / "out").draw("whole")
    for name in ("keras", "tensorflow", "keras_ae.progress"):
        monkeypatch.setitem(sys.modules, name, None)  # an import raises
    again = evaluate(runs, image_set, tmp_path / "out")
    assert again.draw("whole") and len(again.results("whole")) == 2
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from keras_ae.evaluation import evaluation, plots, summary\n"
        "from keras_ae.evaluation.cache import package_versions\n"
        "from keras_ae.evaluation.comparisons import COMPARISONS\n"
        "package_versions(), [one.load() for one in COMPARISONS.values()]\n"
        "heavy = {'keras', 'tensorflow', 'umap', 'matplotlib'}\n"
        "print(*(heavy & set(sys.modules)), end='')"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parents[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_split_is_made_once_for_all_figures(runs, image_set, fakes, tmp_path, monkeypatch):
    done = evaluate(runs, image_set, tmp_path / "out", names=("whole",))
    made, genuine = [], data.split
    monkeypatch.setattr(data, "split", lambda *a, **k: made.append(k) or genuine(*a, **k))
    for _ in range(3):
        done.draw("whole", force=True)
    assert len(made) <= 1 and fakes["whole"].drawn == 3


def test_broken_model_is_reported_and_others_are_measured(runs, image_set, fakes, tmp_path):
    (runs / "a" / "model.keras").write_bytes(b"broken")
    (runs / "c" / "model.keras").unlink()
    done = evaluate(runs, image_set, tmp_path / "out")
    assert [entry.seed for entry in done.results("whole")] == [2]
    assert [entry.held_out for entry in done.results("novel")] == ["0"]
    assert len(done.broken) == 2
    assert all("\n" not in line for line in done.broken)
    for name in "ac":
        assert any(os.path.join(name, "model.keras") in line for line in done.broken)


def test_failed_measurement_is_reported(runs, image_set, fakes, tmp_path):
    fakes["whole"].fails = True
    done = evaluate(runs, image_set, tmp_path / "out")
    assert done.results("whole") == [] and len(done.results("novel")) == 2
    assert len(done.broken) == 2 and "cannot be done" in done.broken[0]


def test_interrupted_evaluation_resumes(runs, image_set, fakes, tmp_path, monkeypatch):
    real, made = Fake.measure, []

    def stopped(self, *arguments, **options):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(1)
        return real(self, *arguments, **options)

    monkeypatch.setattr(Fake, "measure", stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate(runs, image_set, tmp_path / "out")
    monkeypatch.setattr(Fake, "measure", real)
    before = sum(count(fakes).values())
    evaluate(runs, image_set, tmp_path / "out")
    assert sum(count(fakes).values()) - before == 2


def test_only_stale_figures_are_drawn(runs, image_set, fakes, tmp_path):
    folder = tmp_path / "out"
    figures = evaluate(runs, image_set, folder).draw("whole")
    assert figures == [{"file": "fake.png", "caption": "2 runs"}]
    assert evaluate(runs, image_set, folder).draw("whole") == figures
    assert fakes["whole"].drawn == 1
    (folder / "fake.png").unlink()
    assert evaluate(runs, image_set, folder).draw("whole") == figures
    assert fakes["whole"].drawn == 2
    shutil.rmtree(runs / "b")
    assert evaluate(runs, image_set, folder).draw("whole")[0]["caption"] == "1 runs"


def test_comparison_without_runs_or_labels_is_skipped(runs, image_set, fakes, tmp_path):
    shutil.rmtree(runs / "c")
    shutil.rmtree(runs / "d")
    assert evaluate(runs, image_set, tmp_path / "out").names == ["whole"]
    unlabeled = data.ImageSet("toy", image_set.train_images, None, image_set.test_images, None)
    found = find_runs(runs).runs
    done = Evaluation(unlabeled, found, ["classification", "whole"], tmp_path, options={}, seed=1)
    assert done.names == ["whole"]


def test_comparisons_left_out_have_a_reason(runs, image_set, fakes, tmp_path):
    assert evaluate(runs, image_set, tmp_path / "out").left_out == []
    for name in "cd":
        shutil.rmtree(runs / name)
    (reason,) = evaluate(runs, image_set, tmp_path / "out").left_out
    assert reason == "novel: no run was trained without one of the classes."
    unlabeled = data.ImageSet("toy", image_set.train_images, None, image_set.test_images, None)
    names = ["classification", "whole"]
    done = Evaluation(unlabeled, find_runs(runs).runs, names, tmp_path, options={}, seed=1)
    (reason,) = done.left_out
    assert reason == "Classification from few labels: the images have no class labels."


def record(run, **results):
    """Add to the results of a run."""
    path = run / "test.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **results}))


def test_runs_that_ignore_their_input_are_marked(runs, image_set, fakes, tmp_path):
    def labels():
        done = evaluate(runs, image_set, tmp_path / "out")
        return [(one.label, one.collapsed) for one in done.results("whole")]

    assert labels() == [("shallow", False)] * 2
    record(runs / "a", variance=0.009)
    marked = "shallow (1 of 2 runs ignore their input)"
    assert labels() == [(marked, True)] * 2
    record(runs / "b", variance=0.0)
    assert labels() == [("shallow (ignores its input)", True)] * 2
    done = evaluate(runs, image_set, tmp_path / "out")
    assert {one.label for one in done.results("novel")} == {"shallow"}  # other runs


def test_run_of_an_older_version_is_marked_by_its_reconstructions(
    runs, image_set, fakes, tmp_path, monkeypatch
):
    monkeypatch.setitem(COMPARISONS, "reconstruction", COMPARISONS["whole"])
    measurement = Measurement({"variance": 0.001})
    monkeypatch.setattr(Fake, "measure", lambda self, *_, **__: measurement)
    done = evaluate(runs, image_set, tmp_path / "out", names=("reconstruction",))
    assert [one.collapsed for one in done.results("reconstruction")] == [True, True]


@pytest.fixture
def published_run(tmp_path):
    """A run as the bake-off has it, and a function that changes its config."""
    folder = write_run(tmp_path / "run")
    path = folder / "config.json"
    original = json.loads(path.read_text())
    original["data"] |= {"source": "mnist"}
    original["request"] |= {"epochs": 60, "batch_size": 256}

    def changed(part="request", **changes):
        config = {**original, part: {**original[part], **changes}}
        path.write_text(json.dumps(config))
        return find_runs(folder).runs[0]

    return changed


def test_run_of_the_bake_off_is_recognized(published_run):
    assert follows_bake_off(published_run())
    assert follows_bake_off(published_run("data", source="kmnist"))


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("request", {"epochs": 30}),
        ("request", {"batch_size": 128}),
        ("request", {"patience": 5}),
        ("request", {"learning_rate": 0.01}),
        ("request", {"schedule": "cosine"}),
        ("request", {"ema": 0.995}),
        ("request", {"latent_dim": 2}),
        ("request", {"arguments": {"activation": "relu"}}),
        ("request", {"variant": "convolutional"}),
        ("data", {"source": "/home/mnist"}),
        ("data", {"binarize": "threshold"}),
        ("data", {"preprocessing": {"image_size": [64, 64]}}),
    ],
)
def test_other_runs_are_not_of_the_bake_off(published_run, part, changes):
    assert not follows_bake_off(published_run(part, **changes))


def test_what_takes_long_is_announced_until_it_is_cached(
    runs, image_set, fakes, tmp_path, monkeypatch
):
    slow = dataclasses.replace(COMPARISONS["whole"], is_slow=True)
    monkeypatch.setitem(COMPARISONS, "whole", slow)
    fakes["whole"].work = lambda *sizes: "{} images of {}".format(*sizes)
    lines = []
    for _ in range(2):
        found = sorted_runs(find_runs(runs).runs)
        done = Evaluation(
            image_set, found, ["whole", "novel"], tmp_path / "out",
            options={"projection": "umap"}, seed=7,
        )  # fmt: skip
        done.measure(enabled=False, log=lines.append)
    assert len(lines) == 1 and lines[0].startswith("whole, 2 runs: 10 images of 16")


def test_single_class_counts_as_unlabeled(runs, image_set, fakes, tmp_path):
    train, test = image_set.train_images, image_set.test_images
    zeros = (np.zeros(len(part), "int64") for part in (train, test))
    single = data.ImageSet("toy", train, next(zeros), test, next(zeros), ("all",))
    names = ["whole", "classification"]
    found = [run for run in find_runs(runs).runs if run.held_out is None]
    done = Evaluation(single, found, names, tmp_path, options={"projection": "umap"}, seed=1)
    done.measure(enabled=False)
    assert done.names == ["whole"]
    assert "all images have the same class label" in done.left_out[0]
    assert fakes["whole"].calls[0][4].test.labels is None


def test_baselines_survive_the_cache(tmp_path):
    baselines = {
        "a/b": Measurement(
            {"x": 1.5, "curve": [1, 2]}, {"line": np.arange(3), "0/odd": np.ones(1)}
        ),
        "c": Measurement({}, {}),
    }
    cache = MeasurementCache(tmp_path)
    path = cache.path("some", "base lines", {"seed": 0})
    made_by = {"versions": {"keras": "3"}, "device": "CPU"}
    cache.put(path, dataclasses.replace(join(baselines), made_by=made_by))
    entries = baseline_results(cache.get(path), "5")
    assert all(one.measurement.made_by == made_by for one in entries)
    assert [(one.label, one.held_out, one.variant) for one in entries] == [
        ("a/b", "5", ""),
        ("c", "5", ""),
    ]
    assert entries[0].measurement.metrics == {"x": 1.5, "curve": [1, 2]}
    assert set(entries[0].measurement.arrays) == {"line", "0/odd"}
    assert entries[1].measurement.arrays == {}


def test_changed_images_are_an_error(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", fingerprint="f" * 16)
    with pytest.raises(ValueError, match="have changed since .*run"):
        load_data(find_runs(run).runs[0])


def test_combined_versions_are_listed_once_each():
    measurements = [
        Measurement({}, {}, {"versions": {"keras": version, "numpy": "2"}, "device": "CPU"})
        for version in ("3.14", "3.15", "3.14")
    ]
    assert combine_made_by(measurements) == {
        "versions": {"keras": "3.14 and 3.15", "numpy": "2"},
        "device": "CPU",
        "mixed": ["keras"],
    }
    assert combine_made_by(measurements[:1])["mixed"] == []
    assert combine_made_by([]) == {"versions": {}, "device": "", "mixed": []}


def test_versions_are_those_of_the_installed_packages():
    versions = caching.package_versions()
    modules = {"scikit-learn": "sklearn", "keras_ae": "keras_ae"}
    for name in ("keras_ae", "keras", "tensorflow", "numpy", "scikit-learn"):
        assert versions[name] == importlib.import_module(modules.get(name, name)).__version__
    assert set(versions) == {"keras_ae", *caching.PACKAGES, "python"}


def test_cache_file_depends_on_the_key_not_its_order(tmp_path):
    cache = MeasurementCache(tmp_path)
    path = cache.path("some", "a/b", {"seed": 1, "options": {"x": 1, "y": 2}})
    assert path == cache.path("some", "a/b", {"options": {"y": 2, "x": 1}, "seed": 1})
    assert path != cache.path("some", "a/b", {"seed": 2, "options": {"x": 1, "y": 2}})
    assert path.parent == tmp_path / "some"


def test_symbolic_link_in_the_cache_is_replaced_not_followed(tmp_path):
    victim, cache = tmp_path / "victim", MeasurementCache(tmp_path / "cache")
    victim.write_text("precious")
    path = cache.path("some", "run", {})
    path.parent.mkdir(parents=True)
    path.symlink_to(victim)
    cache.put(path, Measurement({"x": 1}))
    assert victim.read_text() == "precious" and cache.get(path).metrics == {"x": 1}


def test_metrics_that_are_not_json_are_refused(tmp_path):
    with pytest.raises(TypeError):
        MeasurementCache(tmp_path).put(tmp_path / "x.npz", Measurement({"bad": object()}))
    with pytest.raises(ValueError):
        MeasurementCache(tmp_path).put(tmp_path / "x.npz", Measurement({"bad": float("nan")}))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def defect_set(image_set):
    """Good training images; good, torn and dirty test images, with masks."""
    labels = np.zeros(240, "int64")
    test_labels = np.arange(30) % 3
    masks = np.zeros((30, 4, 4), bool)
    return data.ImageSet(
        "defects", image_set.train_images, labels, image_set.test_images, test_labels,
        ("good", "torn", "dirty"), test_masks=masks,
    )  # fmt: skip


@pytest.fixture
def defect_runs(tmp_path, defect_set, model_file):
    folder = tmp_path / "defect runs"
    request = {"latent_dim": 2, "dataset": "defects", "fingerprint": defect_set.fingerprint}
    for seed in (1, 2):
        shutil.copy(
            model_file,
            write_run(folder / str(seed), "shallow", seed=seed, **request) / "model.keras",
        )
    return folder


def test_other_classes_are_only_in_comparisons_about_anomalies(
    defect_runs, defect_set, fakes, tmp_path
):
    done = evaluate(defect_runs, defect_set, tmp_path / "out")
    for name, num, normal in (("whole", 10, None), ("novel", 30, 0)):
        assert [one.seed for one in done.results(name)] == [1, 2]
        splits = [call[4] for call in fakes[name].calls]
        assert len(splits) == 3  # two runs and the baselines
        for split in splits:
            assert len(split.test) == num
            assert (split.test_masks is None) == (split.test.labels is None) == (name == "whole")
        assert done._data_of(name, 1, None).normal == normal
    assert done.draw("whole") and done.draw("novel")
    (note,) = done.left_out
    assert note == (
        "The 20 test images of torn, dirty: only anomaly detection uses them, the other "
        "comparisons measure on the 10 test images of good."
    )
    assert evaluate(defect_runs, defect_set, tmp_path / "out", names=("novel",)).left_out == []


def test_classifiers_are_left_out_where_training_has_one_class(
    defect_runs, defect_set, fakes, tmp_path, monkeypatch
):
    uses = dataclasses.replace(COMPARISONS["whole"], reference_classifier=True)
    monkeypatch.setitem(COMPARISONS, "whole", uses)
    monkeypatch.setattr(reference_classifier, "train_reference_classifier", None)  # not called
    names = ["classification", "whole", "novel"]
    done = evaluate(defect_runs, defect_set, tmp_path / "out", names=names)
    assert done.names == ["whole", "novel"] and not done.has_labels
    assert done.left_out[0] == (
        "Classification from few labels: all training images are of one class, good."
    )


def test_baselines_of_a_set_with_a_normal_class_are_cached(
    defect_runs, defect_set, fakes, tmp_path
):
    first = evaluate(defect_runs, defect_set, tmp_path / "out")
    before = count(fakes)
    again = evaluate(defect_runs, defect_set, tmp_path / "out")
    assert count(fakes) == before == {"whole": 3, "novel": 3}
    assert [one.label for one in again.baselines("novel")] == ["chance"]
    assert first._key("novel")["normal_class"] == "good"
