"""`scripts/defects.py`: textures with synthetic defects and their masks, in the layout of MVTec."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("skimage")
SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def script_of(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load():
    module = script_of("defects")
    module.NUM_GOOD, module.NUM_DEFECT = {"train": 5, "validation": 2, "test": 4}, 3
    return module


@pytest.fixture(scope="module")
def script():
    return load()


@pytest.fixture(scope="module", params=[64, 128])
def written(script, request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("defects") / "grass"
    script.write_set(folder, "grass", request.param)
    return folder, request.param


def read(path):
    return np.asarray(Image.open(path))


def test_layout_is_that_of_mvtec(script, written):
    folder, side = written
    counts = {"train/good": 5, "validation/good": 2, "test/good": 4}
    counts |= {f"test/{kind}": 3 for kind in ("scratch", "stain", "missing", "color")}
    counts |= {f"ground_truth/{kind}": 3 for kind in script.DEFECTS}
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) == sum(counts.values())
    for name, num in counts.items():
        names = sorted(path.name for path in (folder / name).iterdir())
        suffix = "_mask" if "truth" in name else ""
        assert names == [f"{index:03d}{suffix}.png" for index in range(num)]
        for path in (folder / name).iterdir():
            image = read(path)
            assert image.dtype == np.uint8
            assert image.shape == ((side, side) if suffix else (side, side, 3))


def test_mask_is_where_the_pixels_differ_from_the_picture(script, written):
    folder, side = written
    whole = script.picture("grass")
    for kind in script.DEFECTS:
        for index in range(3):
            before = script.normal_image("grass", whole, "test", kind, index)
            before = script.scaled(before, side)
            image = read(folder / "test" / kind / f"{index:03d}.png")
            mask = read(folder / "ground_truth" / kind / f"{index:03d}_mask.png")
            assert set(np.unique(mask)) == {0, 255}
            np.testing.assert_array_equal(mask > 0, np.any(image != before, axis=-1))
            assert 0.005 < (mask > 0).mean() < 0.25
            changes = np.abs(image.astype(int) - before)[mask > 0]
            assert changes.mean() > 5, (kind, index)  # levels of 255


def test_set_is_the_same_each_time(written, tmp_path):
    folder, side = written
    load().write_set(tmp_path / "again", "grass", side)
    for path in folder.rglob("*.png"):
        again = tmp_path / "again" / path.relative_to(folder)
        assert path.read_bytes() == again.read_bytes(), path


def test_images_do_not_repeat(written):
    folder, _ = written
    paths = [
        path for name in ("train", "validation", "test") for path in folder.glob(f"{name}/*/*")
    ]
    assert len(paths) == 23 and len({path.read_bytes() for path in paths}) == 23


def test_splits_come_from_disjoint_areas(script):
    for name in script.TEXTURES:
        whole = script.picture(name)
        columns = np.broadcast_to(np.arange(whole.shape[1])[:, None], whole.shape)
        areas = [set(np.unique(script.part(columns, split))) for split in script.PARTS]
        assert sum(map(len, areas)) == len(set.union(*areas)) == whole.shape[1]
        for split in script.PARTS:
            area = script.part(whole, split)
            square = script.crop(area, np.random.default_rng(0))
            assert square.shape == (128, 128, 3) and square.std() > 5
            corner = np.lib.stride_tricks.sliding_window_view(area[..., 0], (1, 40))
            found = [
                np.any(np.all(corner == row, axis=(2, 3)))
                for row in (square[0, :40, 0], square[0, ::-1, 0][:40])
            ]
            assert any(found), (name, split)


def test_half_the_side_is_the_mean_of_four_pixels(script):
    square = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(float)
    np.testing.assert_array_equal(script.scaled(square, 128), square)
    half = script.scaled(square, 64)
    expected = square[10:12, 20:22, 1].mean()
    assert abs(float(half[5, 10, 1]) - expected) <= 0.5


def test_existing_folder_is_refused(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["defects.py", str(tmp_path)])
    with pytest.raises(SystemExit, match="2"):
        script.main()
    assert "exists; choose another name" in capsys.readouterr().err


def test_figure_has_an_image_and_a_map_of_every_kind(tmp_path, monkeypatch):
    defects_figure = script_of("defects_figure")
    random = np.random.default_rng(0)
    for folder in ("test", "found/maps"):
        for kind in defects_figure.KINDS:
            (tmp_path / folder / kind).mkdir(parents=True)
            for index in range(4):
                pixels = random.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / folder / kind / f"{index:03d}.png")
    line = ["", str(tmp_path / "test"), str(tmp_path / "found"), str(tmp_path / "figure.jpg")]
    monkeypatch.setattr("sys.argv", line)
    defects_figure.main()
    assert Image.open(tmp_path / "figure.jpg").width > 800
    (tmp_path / "found" / "maps" / "stain" / "003.png").unlink()
    with pytest.raises(FileNotFoundError, match="stain"):
        defects_figure.main()
