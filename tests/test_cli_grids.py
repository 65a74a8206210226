"""Grids of runs: which runs a command line asks for, their states, and refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from programs import command, read_json, refused, run_of, snapshot, train
from small_variants import NAMES, SHAPE, SMALL

import keras_ae
from keras_ae import data
from keras_ae.cli.arguments import assignments, seeds
from keras_ae.cli.train import parse
from keras_ae.runs import plan
from keras_ae.runs.lock import lock_directory
from keras_ae.runs.plan import DataOptions, Grid, Recipe, plan_runs
from keras_ae.runs.request import model_difference
from keras_ae.runs.run_directory import RunDirectory
from keras_ae.runs.states import Durations
from keras_ae.runs.train import Training
from keras_ae.variants import VARIANTS

pytestmark = pytest.mark.usefixtures("offline", "eager")


def planned_by(monkeypatch, *line) -> list:
    """The requests that a command line plans, in order."""
    planned = []
    with monkeypatch.context() as patch:
        patch.setattr(Training, "run", lambda self: planned.extend(self._planned))
        assert train(*line, "--quiet") == 0
    return [each.config.request for each in planned]


def test_grid_has_a_run_for_each_combination(tiny, tmp_path, monkeypatch):
    line = command(tiny, tmp_path, "vae", "beta_vae_loose")
    line += ["--seed", "3", "1..2", "--latent-dim", "4", "2", "--held-out-class", "1", "0"]
    line += ["--grid", "--set", "beta=1,2,4", "activation=selu"]
    found = [
        (each.variant, each.latent_dim, each.held_out_class, each.seed, each.arguments["beta"])
        for each in planned_by(monkeypatch, *line)
    ]
    axes = ["vae", "beta_vae_loose"], [4, 2], ["1", "0"], [3, 1, 2], [1, 2, 4]
    assert len(found) == 72 and set(found) == set(itertools.product(*axes))
    assert [seed for _, _, _, seed, _ in found] == [3] * 24 + [1] * 24 + [2] * 24


def test_comma_is_part_of_a_value_without_grid(tiny, tmp_path, monkeypatch):
    line = [*command(tiny, tmp_path, "vae"), "--set", "hidden_units=9,6"]
    (request,) = planned_by(monkeypatch, *line)
    assert request.arguments == {"hidden_units": [9, 6]}
    line = [*line[:-1], "hidden_units=[9,6],[8,4]", "--grid"]
    units = [each.arguments["hidden_units"] for each in planned_by(monkeypatch, *line)]
    assert units == [[9, 6], [8, 4]]


def test_run_that_is_named_twice_is_planned_once(tiny, tmp_path, monkeypatch):
    line = command(tiny, tmp_path, "vae", "vae") + ["--seed", "1", "1..2", "--seed", "2"]
    line += ["--latent-dim", "20", "20", "--grid", "--set", "beta=2,2"]
    assert [each.seed for each in planned_by(monkeypatch, *line)] == [1, 2]


def test_bake_off_takes_several_seeds(tiny, tmp_path, monkeypatch):
    line = ["--bake-off", "--dataset", tiny, "--output-dir", tmp_path, "--seed", "1..2"]
    requests = planned_by(monkeypatch, *line)
    assert len(requests) == 36
    held_out = {(each.latent_dim, each.held_out_class) for each in requests}
    assert held_out == {(20, None), (2, "1")} and {each.seed for each in requests} == {1, 2}


def test_values_are_separated_by_commas_outside_brackets_and_quotes():
    assert assignments("a=1,2.5,x") == ("a", [1, 2.5, "x"])
    assert assignments("a=(1,2),[3,[4,5]],'x,y',true") == ("a", [[1, 2], [3, [4, 5]], "x,y", True])
    assert assignments("a=1e400,None") == ("a", ["1e400", None])


def test_seeds_are_numbers_or_ranges():
    assert seeds("7") == [7] and seeds("8..11") == [8, 9, 10, 11] and seeds("0..0") == [0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--variant", "vaee"], "did you mean vae?"),
        (["--seed", "3", "x"], "received x"),
        (["--seed", "3..1"], "needs a range such as 1..10"),
        (["--seed", "1..2000000000"], "at most 10,000 numbers"),
        (["--seed", "1..101", "--latent-dim", *map(str, range(1, 101))], "at most 10,000 runs"),
        (["--seed", "1..-2"], "received -2"),
        (["--latent-dim", "2", "0"], "received 0"),
        (["--grid", "--set", "beta=1,,2"], "a value is missing"),
        (["--grid", "--set", "beta=1,2", "beta=3"], "twice"),
        (["--grid", "--set", "beta=1,2,abc"], "received 'abc'"),
        (["--grid", "--set", "betta=1,2"], "has no argument 'betta'"),
        (["--held-out-class", "1", "9"], "no class '9'"),
        (["--variant", "conv_vq_vae", "--latent-dim", "3"], "with latent_dim=3"),
        (["--batch-size", "170"], "at most 165"),
    ],
)
def test_typo_in_one_value_is_refused_before_anything_runs(
    capsys, tiny, tmp_path, arguments, words
):
    output_dir = tmp_path / "runs"
    assert words in refused(capsys, train, *command(tiny, output_dir, "vae"), *arguments)
    assert not output_dir.exists()


def test_two_requests_with_one_folder_are_refused(tiny, monkeypatch):
    monkeypatch.setattr(plan, "build_model", lambda *_: keras_ae.Shallow((8, 8), 3))
    grid = Grid(["shallow"], arguments=[{"activation": "re/lu"}, {"activation": "re_lu"}])
    options = DataOptions(str(tiny))
    with pytest.raises(ValueError, match="the same folder .*-activation-re_lu-seed42: arguments"):
        plan_runs(options.load()[0], options, grid)


# ---- one model describes the runs of all seeds and held-out classes ----


@pytest.mark.parametrize("name", NAMES)
def test_models_of_a_variant_differ_in_the_seed_only(name, monkeypatch):
    labels = np.arange(40) % 4
    images = np.zeros((40, *SHAPE), np.uint8)
    names = tuple("abcd")
    image_set = data.ImageSet("made", images, labels, images, labels, names)
    small = {key: value for key, value in SMALL.get(name, {}).items() if key != "num_classes"}
    latent_dim = small.pop("latent_dim", 3)
    runs = plan_runs(
        image_set,
        DataOptions("made.npz"),
        Grid([name], [latent_dim], [small], seeds=[1, 2]),
        epochs=2,
        batch_size=8,
    )
    for run in runs:
        ours = run.build().get_config()
        assert model_difference(run.config.model, ours) is None
        assert run.config.model["seed"] == run.config.request.seed == ours["seed"]


def test_first_run_takes_the_model_that_was_checked(tiny, monkeypatch):
    built = []
    build = plan.build_model

    def counting(*arguments):
        built.append(arguments[3])
        return build(*arguments)

    monkeypatch.setattr(plan, "build_model", counting)
    options = DataOptions(str(tiny))
    runs = plan_runs(options.load()[0], options, Grid(["shallow"], seeds=[1, 2, 3]))
    assert built == [1]
    models = [run.build() for run in runs]
    assert built == [1, 2, 3] and len(set(map(id, models))) == 3
    again = runs[0].build()
    assert again is not models[0]
    for ours, theirs in zip(again.weights, models[0].weights, strict=True):
        assert np.array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("held_out_class", [None, "2"])
def test_outline_of_a_split_has_its_numbers_and_labels(tiny, held_out_class):
    splits = plan.Splits(data.load(tiny))
    for seed in (1, 2):
        split, outline = splits(seed, held_out_class), splits.outline(seed, held_out_class)
        for part in ("train", "validation", "test"):
            assert np.array_equal(getattr(split, part).labels, getattr(outline, part).labels)
            assert len(getattr(split, part)) == len(getattr(outline, part))


def test_recipe_builds_what_the_registry_builds(tiny):
    model = Recipe("beta_vae_strict", 3, {}, data.load(tiny)).build(5)
    expected = VARIANTS["beta_vae_strict"](image_shape=(8, 8), latent_dim=3, seed=5)
    assert model_difference(expected.get_config(), model.get_config()) is None


# ---- the states of the runs, and the time that is left ----


def test_dry_run_lists_states_and_trains_nothing(tiny, tmp_path, capsys):
    line = [*command(tiny, tmp_path, "deep", "vae"), "--seed", "42", "43"]
    assert train(*command(tiny, tmp_path, "deep")) == 0
    held = run_of(tmp_path, "vae")
    with lock_directory(held):
        before = snapshot(tmp_path)
        capsys.readouterr()
        assert train(*line, "--dry-run", "--quiet") == 0
        assert snapshot(tmp_path) == before
    *runs, total = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in runs] == ["done", "held", "free", "free"]
    assert str(held) in runs[1] and "process" in runs[1]
    assert "at most about 0:0" in runs[2] and "time unknown" in runs[3]
    assert total.startswith("4 runs: 1 done, 1 held, 2 free; at most about 0:0")
    assert total.endswith("of training, and 1 run of unknown time")
    assert train(*line, "--dry-run", "--overwrite", "--quiet") == 0
    assert "0 done, 0 held, 4 free" in capsys.readouterr().out


def test_dry_run_refuses_what_a_training_would_refuse(tiny, tmp_path, capsys):
    assert train(*command(tiny, tmp_path, "deep")) == 0
    refusal = refused(capsys, train, *command(tiny, tmp_path, "deep", epochs=9), "--dry-run")
    assert "epochs 3; this one asks for 9" in refusal


def test_estimate_is_the_first_epoch_and_the_median_of_the_others(tiny, tmp_path):
    assert train(*command(tiny, tmp_path, "deep")) == 0
    run = RunDirectory(run_of(tmp_path, "deep"))
    rows = run.history
    for row, seconds in zip(rows, [10.0, 2.0, 4.0], strict=True):
        row["seconds"] = seconds
    run.write_history(rows)
    durations, request = Durations([run.directory.parent]), run.config.request
    assert durations.estimate(request) == 10.0 + 2 * 3.0
    assert durations.estimate(request, epochs_done=2) == 10.0
    for change in ({"batch_size": 7}, {"variant": "vae"}, {"fingerprint": "0" * 16}):
        other = type(request).from_dict({**request.to_dict(), **change})
        assert durations.estimate(other) is None
    (run.directory / "config.json").write_text("{")
    assert Durations([run.directory.parent]).estimate(request) is None


def test_interrupted_run_is_free_with_the_epochs_it_has(tiny, tmp_path, capsys):
    assert train(*command(tiny, tmp_path, "deep")) == 0
    run = run_of(tmp_path, "deep")
    (run / "test.json").unlink()
    capsys.readouterr()
    assert train(*command(tiny, tmp_path, "deep"), "--dry-run") == 0
    assert "free" in (line := capsys.readouterr().out.splitlines()[-2]) and "3 epochs fin" in line
    assert read_json(run / "config.json")["request"]["seed"] == 42


def test_options_have_their_defaults():
    options = parse(["--variant", "deep"])
    assert (options.seed, options.latent_dim, options.set) == ([42], [None], [{}])
