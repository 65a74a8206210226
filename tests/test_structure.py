"""The layout of the package: which module may import which, read from the source with `ast`.

The rules are those of `docs/architecture.md`.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from pathlib import Path
from typing import NamedTuple

import pytest

import keras_ae
from keras_ae.evaluation.comparisons import COMPARISONS
from keras_ae.evaluation.comparisons.meanings import MEANINGS
from keras_ae.variants import VARIANTS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "keras_ae"

# A folder imports from itself and from the folders above it in this list. The modules at the root
# of the package that share a line count as one folder.
ORDER = (
    ("stored_images",),
    ("checks", "attributes", "files", "progress", "losses", "metrics", "regularizers", "hashing"),
    ("layers",),
    ("networks",),
    ("training",),
    ("priors",),
    ("anomaly",),
    ("saving",),
    ("variants",),
    ("transfer",),
    ("data",),
    ("runs",),
    ("prediction",),
    ("evaluation",),
    ("cli",),
)
# The package root imports lazily, so every module may import it (for its version).
ANYWHERE = {"", "_registration"}
# Within evaluation: the report imports nothing of the package, comparisons nothing above them.
WITHIN_EVALUATION = (
    ("published",),
    ("plots", "sprites"),
    ("comparisons",),
    ("cache", "summary", "run_figures", "parts"),
    ("evaluation",),
    ("",),
)
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
    """`importer` imports `imported`; both names are relative to keras_ae, "" is the package."""

    importer: str
    imported: str
    when_loaded: bool = True


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, str]:
    return {module_name(path): path.read_text() for path in PACKAGE.rglob("*.py")}


@functools.cache
def imports_of(importer: str, source: str, modules: frozenset[str]) -> list[Import]:
    """Every import of a module of the package in `source`, also within functions."""
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
        for found in imports_of(importer, source, frozenset(modules) | {""})
    ]


def folder(module: str) -> str:
    return module.partition(".")[0]


def rank(module: str) -> int | None:
    """The line of ORDER that a module belongs to, or None."""
    return next((place for place, names in enumerate(ORDER) if folder(module) in names), None)


def rank_in_evaluation(module: str) -> int | None:
    inside = folder(module.partition(".")[2])
    return next((place for place, names in enumerate(WITHIN_EVALUATION) if inside in names), None)


def is_allowed(found: Import) -> bool:
    if found.importer.startswith("evaluation.report"):
        return found.imported.startswith("evaluation.report")
    if found.imported in ANYWHERE or found.importer in ("", "__main__", "cli"):
        return found.imported != "cli" or found.importer in ("__main__", "cli")
    if folder(found.importer) == folder(found.imported) == "evaluation":
        if found.imported.startswith("evaluation.report"):
            return found.importer == "evaluation"  # it writes the report
        before, after = rank_in_evaluation(found.imported), rank_in_evaluation(found.importer)
        return before is not None and after is not None and before <= after
    before, after = rank(found.imported), rank(found.importer)
    return before is not None and after is not None and before <= after


def against_the_direction(modules: dict[str, str]) -> list[Import]:
    return [found for found in all_imports(modules) if not is_allowed(found)]


def cycle(modules: dict[str, str]) -> list[str] | None:
    """A cycle of modules that import each other when loaded, or None."""
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
    """Variants named in code: in strings (not docstrings, help, examples) or as classes."""
    tree = ast.parse(source)
    spared = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                spared.add(id(first.value))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXAMPLES":
            spared.update(id(inner) for inner in ast.walk(node.value))
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


# ---- imports ----


def test_no_folder_imports_from_a_later_one():
    assert against_the_direction(sources()) == []


def test_every_module_has_a_place_in_the_order():
    lost = [
        name for name in sources() if rank(name) is None and name not in ANYWHERE | {"__main__"}
    ]
    assert lost == [], "a new folder needs a place in ORDER and in docs/architecture.md"


def test_documented_layout_names_every_folder():
    page = (ROOT / "docs" / "architecture.md").read_text()
    for names in ORDER:
        for name in names:
            shown = f"{name}/" if (PACKAGE / name).is_dir() else f"{name}.py"
            assert shown in page, name


def test_no_modules_import_each_other():
    assert cycle(sources()) is None


def test_existing_imports_are_seen():
    found = all_imports(sources())
    assert Import("variants.dense", "networks") in found
    assert any(each.importer == "runs.plan" and each.imported == "data" for each in found)
    assert any(each.importer == "cli.train" and not each.when_loaded for each in found)


@pytest.mark.parametrize(
    ("importer", "line"),
    [
        ("losses", "from keras_ae.layers import Sampling"),
        ("layers.sampling", "from keras_ae import networks"),
        ("layers.sampling", "from ..networks import dense_encoder"),
        ("networks", "from ..variants import base"),
        ("training.trainer", "from keras_ae.variants.base import Autoencoder"),
        ("networks", "def later():\n    from keras_ae.variants import VARIANTS"),
        ("variants.deep", "from keras_ae.runs.plan import plan_runs"),
        ("variants.deep", "from keras_ae import data"),
        ("data.splits", "from keras_ae.runs.request import RunRequest"),
        ("runs.plan", "def later():\n    from keras_ae.evaluation import plots"),
        ("progress", "import keras_ae.variants.base"),
        ("runs.train", "from keras_ae.cli.train import main"),
        ("runs.catalog", "from keras_ae.evaluation.comparisons import COMPARISONS"),
        ("variants.vae", "from keras_ae.evaluation.plots import save"),
        ("evaluation.comparisons.anomaly", "from keras_ae.evaluation.evaluation import Evaluation"),
        ("evaluation.comparisons.anomaly", "from keras_ae.evaluation.report import blocks"),
        ("evaluation.report.html", "from keras_ae.evaluation import comparisons"),
        ("evaluation.report.html", "from keras_ae.files import atomic_write"),
        ("evaluation.plots", "from keras_ae.evaluation.comparisons import COMPARISONS"),
        ("variants.base", "def later():\n    from train import main"),
        ("losses", "import importlib\nimportlib.import_module('keras_ae.variants.vae')"),
    ],
)
def test_planted_import_of_a_later_folder_is_caught(importer, line):
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
        ("runs.plan", "import keras_ae"),
    ],
)
def test_planted_import_of_an_earlier_folder_is_allowed(importer, line):
    modules = sources()
    modules[importer] += f"\n{line}\n"
    assert against_the_direction(modules) == []


def test_planted_cycle_is_caught():
    modules = sources()
    modules["layers.sampling"] += "\nfrom keras_ae.layers.gaussian_bottleneck import x\n"
    assert set(cycle(modules)) == {"layers.sampling", "layers.gaussian_bottleneck"}
    modules = sources()
    modules["layers.sampling"] += "\ndef later():\n    import keras_ae.layers.gaussian_bottleneck\n"
    assert cycle(modules) is None


# ---- words allowed in one place only ----


def option_words(source: str) -> list[str]:
    """The command-line options in the strings of a module, docstrings excepted."""
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        word
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
        for word in re.findall(r"(?<![\w-])--[a-z][\w-]*", node.value)
    ]


def test_only_the_command_line_names_options():
    """Exceptions: RunConfig makes a command line of itself, the catalog those of missing runs."""
    allowed = {"runs.request", "runs.catalog"}
    found = {
        name: words
        for name, source in sources().items()
        if not name.startswith("cli") and name not in allowed and (words := option_words(source))
    }
    assert found == {}


def test_planted_option_is_caught():
    assert option_words('def f():\n    raise ValueError(f"Use --overwrite, {1}.")') == [
        "--overwrite"
    ]
    assert option_words('def f():\n    """`--overwrite`."""\n    return "a -- b", "x--y"') == []


@pytest.mark.parametrize("folder", ["cli", "runs"])
def test_no_program_names_a_variant(folder):
    for path in (PACKAGE / folder).glob("*.py"):
        assert variant_words(path.read_text()) == [], path


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
def test_planted_variant_is_caught(line):
    assert variant_words(f'"""Trains."""\n{line}\n')


def test_variant_may_be_named_in_docstrings_help_and_examples():
    assert variant_words('"""python train.py --variant sparse"""\nadd("-v", help="deep")') == []
    assert variant_words('EXAMPLES = ("--variant sparse",)') == []


def test_registry_has_the_nine_variants():
    assert set(VARIANTS) >= NAMES


def test_every_comparison_has_its_functions_and_version():
    for name, comparison in COMPARISONS.items():
        module = comparison.load()
        assert module.__name__ == f"keras_ae.evaluation.comparisons.{comparison.module}"
        also = ["interactive"] * comparison.is_interactive
        for function in ("measure", "baselines", "draw", *also):
            assert inspect.isfunction(getattr(module, function)), f"{name} lacks {function}"
        assert isinstance(module.VERSION, int), f"{name} lacks VERSION"


def test_every_comparison_file_is_in_the_registry():
    files = {path.stem for path in (PACKAGE / "evaluation" / "comparisons").glob("*.py")}
    helpers = {"__init__", "base", "bench", "common", "fine_tuner", "linear_classifier"}
    helpers |= {"meanings", "reference_classifier"}
    assert files - helpers == {comparison.module for comparison in COMPARISONS.values()}


def test_every_variant_file_is_in_the_registry():
    files = {path.stem for path in (PACKAGE / "variants").glob("*.py")}
    assert files - {
        "__init__",
        "base",
        "dense",
        "documentation",
        "latents",
        "settings",
        "variational",
    } == {preset.module for preset in VARIANTS.values()}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_registry_entry_is_an_autoencoder(name):
    preset = VARIANTS[name]
    assert issubclass(preset.load(), keras_ae.Autoencoder)
    assert preset.summary and "\n" not in preset.summary


def test_every_column_is_explained():
    unexplained = [
        f"{name}: {column.heading}"
        for name, comparison in COMPARISONS.items()
        for column in comparison.columns
        if not column.meaning
    ]
    assert not unexplained
    headings = {column.heading for one in COMPARISONS.values() for column in one.columns}
    assert headings >= MEANINGS.keys()
