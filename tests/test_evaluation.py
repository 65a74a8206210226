"""What is measured, kept and drawn, with a comparison that counts its calls."""

import json
import os
import shutil
import sys
import types

import numpy as np
import pytest
from fake_runs import write_run

import keras_ae
from keras_ae import data
from keras_ae.evaluation import evaluation
from keras_ae.evaluation.comparisons import COMPARISONS, Column, Comparison
from keras_ae.evaluation.comparisons.base import Figure, Measurement
from keras_ae.evaluation.evaluation import (
    Evaluation,
    Store,
    baseline_entries,
    join,
    load_data,
    sources,
)
from keras_ae.runs.catalog import find_runs, sorted_runs
from keras_ae.variants import VARIANTS


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
    """A comparison that writes down what it was given."""

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

    def draw(self, entries, baselines, problem, folder):
        self.drawn += 1
        (folder / "fake.png").write_bytes(b"picture")
        return [Figure(folder / "fake.png", f"{len(entries)} runs")]


@pytest.fixture
def fakes(monkeypatch):
    made = {}
    for name, held_out, options in (("whole", False, ("projection",)), ("novel", True, ())):
        made[name] = Fake(f"keras_ae.evaluation.comparisons.{name}")
        monkeypatch.setitem(sys.modules, made[name].__name__, made[name])
        columns = (Column("score", "score", 2, "higher"),)
        comparison = Comparison(name, name, "", columns, held_out=held_out, options=options)
        monkeypatch.setitem(COMPARISONS, name, comparison)
    monkeypatch.setattr(evaluation, "sources", lambda *modules: [])
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


def test_every_run_is_measured_on_its_own_split(runs, image_set, fakes, tmp_path):
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
    entries = done.entries("novel")
    assert {(entry.label, entry.held_out, entry.seed) for entry in entries} == {
        ("shallow", "0", 1),
        ("shallow", "2", 1),
    }
    assert entries[0].measurement.metrics == {"score": 0.5}


def test_baselines_are_made_once_for_each_held_out_class(runs, image_set, fakes, tmp_path):
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


def test_a_second_evaluation_measures_nothing(runs, image_set, fakes, tmp_path):
    first = evaluate(runs, image_set, tmp_path / "out")
    before = count(fakes)
    assert before == {"whole": 3, "novel": 4}
    second = evaluate(runs, image_set, tmp_path / "out")
    assert count(fakes) == before
    for name in ("whole", "novel"):
        for one, other in zip(first.entries(name), second.entries(name), strict=True):
            assert one[:5] == other[:5] and one.measurement.metrics == other.measurement.metrics
            np.testing.assert_array_equal(*(x.measurement.arrays["picture"] for x in (one, other)))
        labels = [[one.label for one in done.baselines(name)] for done in (first, second)]
        assert labels[0] == labels[1]
    evaluate(runs, image_set, tmp_path / "out", force=True)
    assert count(fakes) == {"whole": 6, "novel": 8}


def test_only_what_changed_is_measured_again(runs, image_set, fakes, tmp_path):
    def again(**changes):
        before = count(fakes)
        evaluate(runs, image_set, tmp_path / "out", **changes)
        return {name: count(fakes)[name] - before[name] for name in before}

    again()
    keras_ae.Shallow(image_shape=(4, 4), latent_dim=2).save(runs / "a" / "model.keras")
    assert again() == {"whole": 1, "novel": 0}
    assert again(options={"projection": "tsne"}) == {"whole": 3, "novel": 0}
    assert again(options={"projection": "tsne"}, seed=8) == {"whole": 3, "novel": 4}
    assert again() == {"whole": 0, "novel": 0}  # what went before is kept
    kept = sorted((tmp_path / "out" / ".parts").glob("whole/b-*.npz"))
    assert len(kept) == 3
    for path in kept:
        path.write_bytes(b"PK damaged")
    assert again() == {"whole": 1, "novel": 0}
    for seed in range(10, 16):
        again(seed=seed)
    assert len(list((tmp_path / "out" / ".parts").glob("whole/b-*.npz"))) == evaluation.NUM_KEPT


def test_a_changed_source_is_measured_again(runs, image_set, fakes, tmp_path, monkeypatch):
    evaluate(runs, image_set, tmp_path / "out")
    before = count(fakes)
    source = tmp_path / "source.py"
    source.write_text("changed")

    def only(wanted):
        return lambda *modules: [source] if wanted in modules else []

    monkeypatch.setattr(evaluation, "sources", only("comparisons.novel"))
    evaluate(runs, image_set, tmp_path / "out")
    assert count(fakes) == {"whole": before["whole"], "novel": 2 * before["novel"]}
    # Of a variant's source only what is measured of the variant, not the baselines.
    before = count(fakes)
    monkeypatch.setattr(evaluation, "sources", only("variants.shallow"))
    evaluate(runs, image_set, tmp_path / "out")
    assert count(fakes) == {"whole": before["whole"] + 2, "novel": before["novel"] + 2}


def test_a_file_is_read_once_and_again_when_it_has_changed(tmp_path, monkeypatch):
    path, reads = tmp_path / "model.keras", []
    genuine = type(path).read_bytes

    def read_bytes(self):
        reads.append(self)
        return genuine(self)

    monkeypatch.setattr(type(path), "read_bytes", read_bytes)
    path.write_bytes(b"one")
    first = evaluation.digest("part", path)
    assert evaluation.digest("part", path) == first and evaluation.digest(path) != first
    assert len(reads) == 1
    path.write_bytes(b"other")
    assert evaluation.digest("part", path) != first and len(reads) == 2


def test_a_split_is_made_once_for_the_figures_of_all_comparisons(
    runs, image_set, fakes, tmp_path, monkeypatch
):
    done = evaluate(runs, image_set, tmp_path / "out", names=("whole",))
    made, genuine = [], data.split
    monkeypatch.setattr(data, "split", lambda *a, **k: made.append(k) or genuine(*a, **k))
    for _ in range(3):
        done.draw("whole", force=True)
    assert len(made) <= 1 and fakes["whole"].drawn == 3


def test_a_broken_model_is_named_and_the_others_are_measured(runs, image_set, fakes, tmp_path):
    (runs / "a" / "model.keras").write_bytes(b"broken")
    (runs / "c" / "model.keras").unlink()
    done = evaluate(runs, image_set, tmp_path / "out")
    assert [entry.seed for entry in done.entries("whole")] == [2]
    assert [entry.held_out for entry in done.entries("novel")] == ["0"]
    assert len(done.broken) == 2
    assert all("\n" not in line for line in done.broken)
    for name in "ac":
        assert any(os.path.join(name, "model.keras") in line for line in done.broken)


def test_a_model_that_cannot_do_it_is_named(runs, image_set, fakes, tmp_path):
    fakes["whole"].fails = True
    done = evaluate(runs, image_set, tmp_path / "out")
    assert done.entries("whole") == [] and len(done.entries("novel")) == 2
    assert len(done.broken) == 2 and "cannot be done" in done.broken[0]


def test_an_interrupted_evaluation_goes_on(runs, image_set, fakes, tmp_path, monkeypatch):
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


def test_figures_are_drawn_where_something_changed(runs, image_set, fakes, tmp_path):
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


def test_a_comparison_without_runs_or_labels_is_left_out(runs, image_set, fakes, tmp_path):
    shutil.rmtree(runs / "c")
    shutil.rmtree(runs / "d")
    assert evaluate(runs, image_set, tmp_path / "out").names == ["whole"]
    unlabelled = data.ImageSet("toy", image_set.train_images, None, image_set.test_images, None)
    found = find_runs(runs).runs
    done = Evaluation(unlabelled, found, ["classification", "whole"], tmp_path, options={}, seed=1)
    assert done.names == ["whole"]


def test_a_single_class_counts_as_no_labels(runs, image_set, fakes, tmp_path):
    train, test = image_set.train_images, image_set.test_images
    zeros = (np.zeros(len(part), "int64") for part in (train, test))
    single = data.ImageSet("toy", train, next(zeros), test, next(zeros), ("all",))
    names = ["whole", "classification"]
    found = [run for run in find_runs(runs).runs if run.held_out is None]
    done = Evaluation(single, found, names, tmp_path, options={"projection": "umap"}, seed=1)
    done.measure(enabled=False)
    assert done.names == ["whole"]
    assert fakes["whole"].calls[0][4].test.labels is None


def test_several_baselines_come_back_from_one_file(tmp_path):
    baselines = {
        "a/b": Measurement(
            {"x": 1.5, "curve": [1, 2]}, {"line": np.arange(3), "0/odd": np.ones(1)}
        ),
        "c": Measurement({}, {}),
    }
    store = Store(tmp_path)
    store.put(store.path("some", "base lines", "0"), join(baselines))
    entries = baseline_entries(store.get(store.path("some", "base lines", "0")), "5")
    assert [(one.label, one.held_out, one.variant) for one in entries] == [
        ("a/b", "5", ""),
        ("c", "5", ""),
    ]
    assert entries[0].measurement.metrics == {"x": 1.5, "curve": [1, 2]}
    assert set(entries[0].measurement.arrays) == {"line", "0/odd"}
    assert entries[1].measurement.arrays == {}


def test_images_that_have_changed_are_refused(tmp_path, monkeypatch):
    run = write_run(tmp_path / "run", fingerprint="f" * 16)
    with pytest.raises(ValueError, match="have changed since .*run"):
        load_data(find_runs(run).runs[0])


def test_the_sources_of_a_comparison_are_its_own_and_what_it_imports_beside_it():
    def names(*modules):
        return {str(path.relative_to(evaluation.PACKAGE)) for path in sources(*modules)}

    found = names("comparisons.sampling")
    assert {"comparisons/sampling.py", "comparisons/base.py", "comparisons/priors.py"} <= found
    assert {"data.py", "layers/scalar_quantizer.py"} <= found  # imported by priors.py from layers
    assert "layers/dense_transpose.py" not in found
    assert {"transfer.py", "layers/sampling.py"} <= names("comparisons.classification")
    assert "losses.py" in names("comparisons.reconstruction")
    for comparison in COMPARISONS.values():
        found = names(f"comparisons.{comparison.module}")
        assert not any(name.startswith("variants/") or name == "plots.py" for name in found)
        assert not any(name.endswith("__init__.py") for name in found)


def test_the_sources_of_a_variant_are_what_its_answers_depend_on():
    found = {str(path.relative_to(evaluation.PACKAGE)) for path in sources("variants.deep")}
    wanted = {"variants/deep.py", "variants/dense.py", "variants/base.py", "networks/dense.py"}
    assert {*wanted, "losses.py", "variants/latents.py"} <= found
    assert not {"variants/vae.py", "networks/recurrent.py", "variants/__init__.py"} & found
    for preset in VARIANTS.values():
        assert all(path.is_file() for path in sources(f"variants.{preset.module}"))


def test_every_measurement_depends_on_the_source_of_the_judge(
    runs, image_set, fakes, tmp_path, monkeypatch
):
    asked = set()
    monkeypatch.setattr(evaluation, "sources", lambda *modules: asked.update(modules) or [])
    evaluate(runs, image_set, tmp_path / "out")
    assert "comparisons.judge" in asked


def test_numbers_that_are_no_json_are_refused(tmp_path):
    with pytest.raises(TypeError):
        Store(tmp_path).put(tmp_path / "x.npz", Measurement({"bad": object()}))
    assert json.dumps({"good": 1})
