"""The house as DESIGN.md has it: who may import whom, read from the source with `ast`."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import NamedTuple

import pytest

import keras_ae
from keras_ae.evaluation.comparisons import COMPARISONS
from keras_ae.variants import VARIANTS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "keras_ae"
SCRIPTS = [path for path in (ROOT / "train.py", ROOT / "evaluate.py") if path.exists()]

# A room may import from itself and from the rooms before it. "variants.*" is every file there but
# the base and its part; "variants" is the table of contents.
ROOMS = (
    ("checks",),
    ("losses",),
    ("regularizers", "metrics", "hashing"),
    ("layers",),
    ("networks",),
    ("training", "export", "variants.latents"),
    ("pixel_cnn",),
    ("variants.base",),
    ("variants.*",),
    ("variants",),
    ("transfer",),
    ("",),
)
# Rooms outside that line, and all they may import.
APART = {
    "files": set(),
    "image_files": {"checks"},
    "data": {"checks", "image_files"},
    "locks": set(),
    "model_files": {"checks"},
    "plateaus": set(),
    "runs": {"checks", "locks", "model_files", "plateaus", "variants"},
    "progress": {"checks"},
    "plots": {"variants"},
    "comparisons": {
        "",
        "layers",
        "losses",
        "metrics",
        "variants",
        "transfer",
        "data",
        "runs",
        "plots",
    },
    "trained": {"checks", "variants", "data", "runs"},
    "published": set(),
    "ranking": set(),
    "results": {"comparisons", "published", "ranking", "trained"},
    "evaluation": {"", "checks", "comparisons", "data", "progress", "runs", "trained", "variants"},
    "report": set(),
}
NAMES = {
    "shallow",
    "deep",
    "stacked",
    "sparse",
    "denoising",
    "vae",
    "beta_vae_strict",
    "beta_vae_loose",
    "vq_vae",
}


class Import(NamedTuple):
    """`importer` imports `imported`, both as they stand below keras_ae; "" is the package."""

    importer: str
    imported: str
    when_loaded: bool = True


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, str]:
    return {module_name(path): path.read_text() for path in PACKAGE.rglob("*.py")}


def imports_of(importer: str, source: str, modules) -> list[Import]:
    """Every import of a module of the house, wherever it stands in `source`."""
    tree = ast.parse(source)
    is_package = any(module.startswith(f"{importer}.".lstrip(".")) for module in modules)
    delayed = {
        id(inner)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(function)
    }
    found = []
    for node in ast.walk(tree):
        for name in imported_names(node, importer, is_package):
            if name == "keras_ae" or name.startswith("keras_ae."):
                imported = name.removeprefix("keras_ae").removeprefix(".")
                while imported not in modules:  # A class or function of that module.
                    imported = imported.rpartition(".")[0]
            elif name.partition(".")[0] in {"train", "evaluate"}:
                imported = name.partition(".")[0]
            else:
                continue
            found.append(Import(importer, imported, id(node) not in delayed))
    return found


def imported_names(node: ast.AST, importer: str, is_package: bool) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        start = node.module or ""
        if node.level:
            parts = ["keras_ae", *filter(None, importer.split("."))]
            kept = len(parts) - node.level + (1 if is_package else 0)
            start = ".".join([*parts[:kept], *filter(None, [node.module])])
        return [f"{start}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        return [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
    return []


def all_imports(modules: dict[str, str]) -> list[Import]:
    return [
        found
        for importer, source in modules.items()
        for found in imports_of(importer, source, set(modules) | {""})
    ]


def room(module: str) -> str:
    if module in ("variants", "variants.base", "variants.latents"):
        return module
    top, _, below = module.partition(".")
    return "variants.*" if top == "variants" and below else top


def rank(module: str) -> int | None:
    """The place of a module's room in the line, None for one that has no place."""
    return next((place for place, rooms in enumerate(ROOMS) if room(module) in rooms), None)


def is_allowed(found: Import) -> bool:
    importer, imported = room(found.importer), room(found.imported)
    if importer == imported:
        return True
    if (importer, imported, found.when_loaded) == ("variants.base", "variants", False):
        return True  # To name the variants that can sample, the base asks the table of contents.
    if importer in APART:
        return imported in APART[importer]
    before, after = rank(found.imported), rank(found.importer)
    return before is not None and after is not None and before < after


def against_the_direction(modules: dict[str, str]) -> list[Import]:
    return [found for found in all_imports(modules) if not is_allowed(found)]


def cycle(modules: dict[str, str]) -> list[str] | None:
    """Modules that import one another when they are loaded, or None."""
    edges = {module: set() for module in [*modules, ""]}
    for found in all_imports(modules):
        if found.when_loaded and found.imported in edges:
            edges[found.importer].add(found.imported)

    def search(path: list[str]) -> list[str] | None:
        for following in edges[path[-1]]:
            if following in path:
                return path[path.index(following) :]
            if following not in done and (circle := search([*path, following])):
                return circle
        done.add(path[-1])
        return None

    done: set[str] = set()
    return next((circle for module in edges if (circle := search([module]))), None)


def variant_words(source: str) -> list[str]:
    """Variants named in a program: in its strings, but for docstrings and help, or as classes."""
    tree = ast.parse(source)
    spared = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                spared.add(id(first.value))
        if isinstance(node, ast.keyword) and node.arg == "help":
            spared.update(id(inner) for inner in ast.walk(node.value))
    classes = {preset.class_name for preset in VARIANTS.values()}
    found = []
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in spared
        ):
            found += [word for word in re.findall(r"\w+", node.value) if word in VARIANTS]
        for name in (getattr(node, "id", None), getattr(node, "attr", None)):
            found += [name] if name in classes else []
        if isinstance(node, ast.alias):
            found += [word for word in node.name.split(".") if word in classes]
    return found


# ---- who may import whom ----


def test_no_room_imports_from_a_later_one():
    assert against_the_direction(sources()) == []


def test_every_room_has_a_place_in_the_order():
    lost = [name for name in sources() if rank(name) is None and room(name) not in APART]
    assert lost == [], "a new room needs a place in ROOMS or APART"


def test_no_modules_import_one_another():
    assert cycle(sources()) is None


def test_the_imports_that_are_there_are_seen():
    found = all_imports(sources())
    assert Import("variants.base", "training") in found
    assert Import("variants.base", "variants", when_loaded=False) in found
    assert Import("variants.dense", "networks") in found
    assert Import("data", "image_files") in found
    assert Import("", "variants.vae") in found


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("losses", "from keras_ae.layers import Sampling"),
        ("checks", "import keras_ae.losses"),
        ("checks", "import keras_ae"),
        ("layers.sampling", "from keras_ae import networks"),
        ("layers.sampling", "from ..networks import dense_encoder"),
        ("networks", "from ..variants import base"),
        ("training", "from keras_ae.variants.base import Autoencoder"),
        ("variants.base", "from keras_ae.variants.deep import Deep"),
        ("variants.base", "from keras_ae.variants import VARIANTS"),
        ("variants.base", "def later():\n    from keras_ae.variants.deep import Deep"),
        ("networks", "def later():\n    from keras_ae.variants import VARIANTS"),
        ("variants.deep", "from keras_ae.runs import Run"),
        ("variants.deep", "from keras_ae import data"),
        ("data", "from keras_ae.losses import entropy_floor"),
        ("image_files", "from keras_ae.data import load"),
        ("runs", "def later():\n    from keras_ae.trained import find_runs"),
        ("runs", "from keras_ae import data"),
        ("progress", "import keras_ae.variants.base"),
        ("runs", "import train"),
        ("runs", "from keras_ae.evaluation.comparisons import COMPARISONS"),
        ("variants.vae", "from keras_ae.evaluation.comparisons.reference_classifier import train_judge"),
        ("comparisons.anomaly", "from keras_ae.evaluation.evaluation import Evaluation"),
        ("comparisons.sampling", "from keras_ae.evaluation.report import write_report"),
        ("plots", "from keras_ae.losses import per_image_bce"),
        ("report", "from keras_ae import comparisons"),
        ("variants.base", "def later():\n    from train import build"),
        ("losses", "import importlib\nimportlib.import_module('keras_ae.variants.vae')"),
    ],
)
def test_a_planted_import_of_a_later_room_is_caught(importer, line):
    modules = sources()
    modules[importer] += f"\n{line}\n"
    assert [found.importer for found in against_the_direction(modules)] == [importer]


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("layers.sampling", "from keras_ae.losses import gaussian_kl"),
        ("variants.vae", "def later():\n    from keras_ae.networks import dense_encoder"),
        ("data", "from keras_ae.checks import check_images"),
        ("data", "import trainer"),
    ],
)
def test_a_planted_import_of_an_earlier_room_is_no_offence(importer, line):
    modules = sources()
    modules[importer] += f"\n{line}\n"
    assert against_the_direction(modules) == []


def test_a_planted_circle_is_caught():
    modules = sources()
    modules["layers.sampling"] += "\nfrom keras_ae.layers.gaussian_bottleneck import x\n"
    assert set(cycle(modules)) == {"layers.sampling", "layers.gaussian_bottleneck"}
    modules = sources()
    modules["layers.sampling"] += "\ndef later():\n    import keras_ae.layers.gaussian_bottleneck\n"
    assert cycle(modules) is None


# ---- variants and the scripts ----


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_no_script_names_a_variant(script):
    assert variant_words(script.read_text()) == []


@pytest.mark.parametrize(
    "line",
    [
        'if variant == "stacked": pass',
        'raise ValueError(f"no vq_vae in {folder}")',
        "isinstance(model, keras_ae.VAE)",
        "from keras_ae.variants.stacked import Stacked",
        'add("--variant", default="deep")',
    ],
)
def test_a_variant_named_in_a_script_is_caught(line):
    assert variant_words(f'"""Trains."""\n{line}\n')


def test_a_variant_may_be_named_in_a_docstring_or_help():
    assert variant_words('"""python train.py --variant sparse"""\nadd("-v", help="deep")') == []


def test_the_nine_variants_are_in_the_table():
    assert set(VARIANTS) >= NAMES


def test_every_comparison_has_a_file_with_its_three_functions():
    for name, comparison in COMPARISONS.items():
        room = comparison.load()
        assert room.__name__ == f"keras_ae.evaluation.comparisons.{comparison.module}"
        for function in ("measure", "baselines", "draw"):
            assert inspect.isfunction(getattr(room, function)), f"{name} lacks {function}"


def test_every_file_of_a_variant_is_named_in_the_table():
    files = {path.stem for path in (PACKAGE / "variants").glob("*.py")}
    assert files - {"__init__", "base", "dense", "latents", "variational"} == {
        preset.module for preset in VARIANTS.values()
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_every_line_of_the_table_leads_to_an_autoencoder(name):
    preset = VARIANTS[name]
    assert issubclass(preset.load(), keras_ae.Autoencoder)
    assert preset.summary and "\n" not in preset.summary


# ---- the public names ----


def test_all_is_complete():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(keras_ae.__all__) == {name for name in imported if not name.startswith("_")}
    assert len(keras_ae.__all__) == len(set(keras_ae.__all__))


def test_all_is_sorted():
    def place(name: str):
        return not name.isupper(), name[0].islower(), name

    assert list(keras_ae.__all__) == sorted(keras_ae.__all__, key=place)


@pytest.mark.parametrize("name", keras_ae.__all__)
def test_every_public_name_is_documented(name):
    thing = getattr(keras_ae, name)
    if inspect.isclass(thing) or inspect.isroutine(thing):
        assert (thing.__doc__ or "").strip(), f"{name} has no docstring of its own"
