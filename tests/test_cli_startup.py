"""How a program starts: what it imports, and the cache of compiled code."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_ae.cli import compiled
from keras_ae.cli.imports import left_out

ROOT = Path(__file__).parents[1]
HEAVY = {"sklearn", "scipy.stats", "matplotlib", "umap", "tensorflow_datasets"}
TRAIN = f"""
import sys
from keras_ae import progress

def end_epoch(self, epoch, losses):
    print("loaded", sorted({HEAVY} & set(sys.modules)))

progress.GridProgress.end_epoch = end_epoch
from keras_ae.cli import main
sys.exit(main(["train", *sys.argv[1:]]))
"""
ON_LINUX = sys.platform.startswith("linux")


def train(images, folder, cache):
    """Train for an epoch in a process of its own; returns its output and the losses."""
    arguments = ["--variant", "sparse", "--dataset", images, "--output-dir", folder]
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, *arguments, "--epochs", "1", "--no-figures"],
        cwd=ROOT,
        env={**os.environ, "KERAS_AE_CACHE": str(cache)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    [history] = Path(folder).rglob("history.csv")
    names, values = (line.split(",") for line in history.read_text().splitlines())
    return done.stdout, {n: v for n, v in zip(names, values, strict=True) if n != "seconds"}


def test_first_epoch_imports_no_optional_package_and_survives_damaged_code(tmp_path):
    images = tmp_path / "images.npy"
    np.save(images, np.random.default_rng(0).integers(0, 256, (90, 8, 8), np.uint8))
    cache = tmp_path / "cache"
    output, losses = train(images, tmp_path / "first", cache)
    assert "loaded []" in output
    if not ON_LINUX:
        return
    [code] = cache.rglob("*.pb")
    size = code.stat().st_size
    os.truncate(code, 500)
    assert train(images, tmp_path / "second", cache)[1] == losses
    [again] = cache.rglob("*.pb")
    assert again.stat().st_size == size
    stamp = again.stat().st_mtime_ns
    assert train(images, tmp_path / "third", cache)[1] == losses
    assert [path.stat().st_mtime_ns for path in cache.rglob("*.pb")] == [stamp]


def test_left_out_packages_can_be_imported_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    import json

    with left_out(("colorsys", "json")):
        with pytest.raises(ImportError):
            import colorsys
        assert sys.modules["json"] is json
    import colorsys

    assert colorsys.rgb_to_hsv(0, 0, 0) == (0, 0, 0)


@pytest.fixture
def folders(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    return source, tmp_path / "cache", target


def test_stored_code_is_loaded_unless_damaged(folders):
    source, cache, target = folders
    assert compiled.load(cache, target) == set()
    for name in ("a.pb", "b.pb"):
        (source / name).write_bytes(name.encode() * 100)
    compiled.store(source, cache, set())
    [damaged] = cache.glob("*-b.pb")
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert compiled.load(cache, target) == {"a.pb"}
    assert (target / "a.pb").read_bytes() == b"a.pb" * 100
    assert not (target / "b.pb").exists()
    assert not damaged.exists()


def test_known_code_is_not_stored_again_and_old_code_is_deleted(folders, monkeypatch):
    source, cache, target = folders
    compiled.load(cache, target)
    for age, name in enumerate(["new.pb", "middle.pb", "old.pb"]):
        (source / name).write_bytes(name.encode())
        compiled.store(source, cache, {each.name for each in source.iterdir()} - {name})
        [path] = cache.glob(f"*-{name}")
        os.utime(path, (1e9 - age, 1e9 - age))
    monkeypatch.setattr(compiled, "MAX_FILES", 2)
    (source / "known.pb").write_bytes(b"known")
    compiled.store(source, cache, {each.name for each in source.iterdir()})
    assert sorted(path.name[17:] for path in cache.iterdir()) == ["middle.pb", "new.pb"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_cache_that_others_can_write_is_not_used(folders):
    _, cache, target = folders
    cache.mkdir()
    cache.chmod(0o777)
    assert compiled.load(cache, target) is None
    cache.chmod(0o700)
    assert compiled.load(cache, target) == set()
    link = cache.parent / "link"
    link.symlink_to(cache)
    assert compiled.load(link, target) is None


def test_full_disk_is_not_filled_further(folders, monkeypatch):
    _, cache, target = folders
    monkeypatch.setattr(compiled, "MIN_FREE_BYTES", 2**80)
    assert compiled.load(cache, target) is None
