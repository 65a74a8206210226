"""`scripts/photographs.py`: crops of sample pictures."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

pytest.importorskip("skimage")
PATH = Path(__file__).resolve().parents[1] / "scripts" / "photographs.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("photographs", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_picture_can_be_cut(script):
    random = np.random.default_rng(0)
    for name in {*script.SMALL, *script.TRAIN, *script.TEST}:
        found = script.crops(name, 2, random)
        assert found.shape == (2, 64, 64, 3) and found.dtype == np.uint8
        assert found.std() > 1, name
    assert not set(script.TRAIN) & set(script.TEST)


def test_crop_of_the_smallest_size_is_a_part_of_the_picture(script, monkeypatch):
    monkeypatch.setattr(script, "SIDE", 300)  # more than half of its height: never scaled
    (crop,) = script.crops("china", 1, np.random.default_rng(1))
    whole = load_sample_image("china.jpg")
    corners = np.lib.stride_tricks.sliding_window_view(whole[..., 0], (1, 20))
    places = np.argwhere((corners == crop[0, :20, 0]).all(axis=(2, 3)))
    found = [whole[top : top + 300, left : left + 300] for top, left in places]
    assert any(np.array_equal(part, crop) for part in found)


def test_small_set_has_six_folders_and_is_the_same_each_time(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "SMALL", ("china", "flower"))
    for name in ("a", "b"):
        script.write_small(tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.png"))
    assert len(files) == 240 and {path.parent.name for path in files} == {"china", "flower"}
    for path in files[::60]:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()
