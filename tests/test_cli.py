"""Command line: subcommands, `--version`, `--help`, and when TensorFlow is loaded."""

import subprocess
import sys

import pytest
from programs import ROOT

import keras_ae
from keras_ae.cli import COMMANDS, main

HEAVY = "{'tensorflow', 'keras', 'numpy', 'umap', 'matplotlib', 'sklearn'}"


@pytest.mark.parametrize(
    ("program", "arguments", "code"),
    [
        ("keras_ae.cli.main", ["--help"], 0),
        ("keras_ae.cli.main", ["--version"], 0),
        ("keras_ae.cli.main", [], 2),
        ("keras_ae.cli.main", ["trian"], 2),
        ("keras_ae.cli.main", ["train", "--help"], 0),
        ("keras_ae.cli.main", ["train", "--variant", "denosing"], 2),
        ("keras_ae.cli.main", ["train", "--epocks", "3"], 2),
        ("keras_ae.cli.main", ["train", "--variant", "deep", "--seed", "x"], 2),
        ("keras_ae.cli.main", ["train"], 2),
        ("keras_ae.cli.main", ["evaluate", "--help"], 0),
        ("keras_ae.cli.main", ["evaluate", "--comparisons", "anomly"], 2),
        ("keras_ae.cli.main", ["predict", "--help"], 0),
        ("keras_ae.cli.main", ["predict", "no-such-run", "images"], 2),
        ("keras_ae.cli.main", ["predict", "tests", "tests", "--batch-size", "0"], 2),
        ("keras_ae.cli.main", ["decode", "--help"], 0),
        ("keras_ae.cli.main", ["decode", "tests"], 2),
        ("keras_ae.cli.main", ["sample", "--help"], 0),
        ("keras_ae.cli.main", ["sample", "tests", "-n", "0"], 2),
    ],
)
def test_usage_errors_do_not_load_tensorflow(program, arguments, code):
    module, _, function = program.rpartition(".")
    script = (
        f"import sys; from {module} import {function}\n"
        f"try: code = {function}(sys.argv[1:])\n"
        "except SystemExit as stop: code = stop.code\n"
        f"loaded = {HEAVY} & set(sys.modules)\n"
        "print('code', code, 'loaded', sorted(loaded))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == f"code {code} loaded []"
    if code:
        assert len(done.stderr.splitlines()) <= 1


def test_importing_the_package_does_not_load_tensorflow():
    script = f"import sys, keras_ae; dir(keras_ae); print({HEAVY} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


def test_mistyped_command_is_refused_with_the_nearest(capsys):
    assert main(["trian"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "'trian'" in line and "did you mean train" in line


@pytest.mark.parametrize("arguments", [["--version"], ["train", "--version"]])
def test_version_is_that_of_the_package(capsys, arguments):
    try:
        assert main(arguments) == 0
    except SystemExit as stop:
        assert stop.code == 0
    assert keras_ae.__version__ in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_shows_defaults_and_three_examples(capsys, command):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    out = capsys.readouterr().out
    examples = out.partition("examples:\n")[2].splitlines()
    assert len(examples) == 3 and all(f"keras-ae {command}" in line for line in examples)
    options, _, _ = out.partition("examples:\n")
    described = options.partition("options:\n")[2]
    entries = described.split("\n  -")[1:]
    assert entries
    for entry in entries:
        name = entry.split()[0]
        if name not in ("h,", "-version", "-list", "-variant", "-bake-off"):
            assert "default" in entry, name


def test_help_lists_the_data_sets_of_the_registry(capsys):
    """The help has the names by hand, because `keras_ae.data` imports NumPy."""
    from keras_ae.data import DATASETS

    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    names = text.partition("--dataset DATASET ")[2].partition(", or a path")[0]
    assert sorted(names.split(", ")) == sorted(DATASETS)


def test_top_level_scripts_are_thin():
    for name in ("train.py", "evaluate.py"):
        assert len((ROOT / name).read_text().splitlines()) <= 15
