"""Public names: lazy imports, their targets, and loading by Keras in any import order."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from programs import ROOT, environment

import keras_ae

PACKAGE = Path(keras_ae.__file__).parent


def run_python(code: str, *arguments, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**environment(folder), "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A saved VAE and the file with the code of a black image."""
    import numpy as np

    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model = keras_ae.VAE((4, 4), 2, hidden_units=(5,), beta=0.5)
    model.save(path)
    np.save(path.with_suffix(".npy"), model.encode(np.zeros((1, 4, 4), "float32")))
    return path


LOADED = """
code = model.encode(np.zeros((1, 4, 4), "float32"))
assert np.array_equal(code, np.load(sys.argv[1].replace(".keras", ".npy")))
print(type(model).__name__, model.beta)
"""


@pytest.mark.parametrize(
    "order",
    [
        "keras_ae, keras",
        *(
            pytest.param(order, marks=pytest.mark.slow)
            for order in [
                "keras, keras_ae",
                "keras_ae, tensorflow, keras",
                "keras_ae, importlib.util as util; util.find_spec('keras'); import keras",
                "keras_ae.layers, keras",
            ]
        ),
    ],
)
def test_keras_loads_a_saved_model_in_any_import_order(saved, tmp_path, order):
    code = f"import sys; import {order}; model = keras.models.load_model(sys.argv[1])"
    assert (
        run_python(f"{code}; import numpy as np\n{LOADED}", saved, folder=tmp_path) == "VAE 0.5\n"
    )


def test_load_model_needs_no_other_import(saved, tmp_path):
    code = "import sys, keras_ae; model = keras_ae.load_model(sys.argv[1]); import numpy as np"
    assert run_python(f"{code}\n{LOADED}", saved, folder=tmp_path) == "VAE 0.5\n"


def test_every_saved_class_is_registered_lazily():
    found = {}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any(
                ast.unparse(each) == "variant" or "register_keras_serializable" in ast.unparse(each)
                for each in node.decorator_list
            ):
                found[node.name] = path
    assert len(found) > 25
    assert found.keys() <= keras_ae._SAVED.keys()


def test_public_names_resolve_to_their_objects():
    for name in keras_ae.__all__:
        value = getattr(keras_ae, name)
        if name != "VARIANTS":
            assert value.__name__ == name
            assert (value.__doc__ or "").strip(), name


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = keras_ae.no_such_name


def test_all_matches_what_type_checkers_see():
    """The TYPE_CHECKING block imports every public name from its module."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.name: node.module.removeprefix("keras_ae.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == keras_ae._MODULES
    assert keras_ae.__all__ == sorted(keras_ae._MODULES)


def test_version_matches_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[?{re.escape(keras_ae.__version__)}\b", changelog, re.MULTILINE)
