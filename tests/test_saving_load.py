"""Loading untrusted model files: each kind of attack is refused without effect."""

import io
import json
import shutil
import zipfile

import h5py
import keras
import pytest

import keras_ae
from keras_ae.saving.load import check_model_file, load_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model = keras_ae.VAE((4, 4), 2, hidden_units=(5,))
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, 100)
    model.compile(keras.optimizers.Adam(schedule), metrics=[keras.metrics.MeanSquaredError()])
    model._build_optimizers()
    model.save(path)
    return path


@pytest.fixture
def path(saved, tmp_path):
    return shutil.copy(saved, tmp_path / "model.keras")


def rewritten(path, **members) -> None:
    """Replace members of the archive; `config_json=function` maps the parsed config."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    for key, change in members.items():
        name = {"config": "config.json", "weights": "model.weights.h5"}.get(key, key)
        content[name] = change(content.get(name))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def planted(change):
    def apply(data):
        config = json.loads(data)
        change(config)
        return json.dumps(config).encode()

    return apply


def weights(change):
    def apply(data):
        buffer = io.BytesIO(data)
        with h5py.File(buffer, "r+") as file:
            change(file)
        return buffer.getvalue()

    return apply


def test_keras_metrics_and_schedules_are_allowed(saved):
    assert load_model(saved).latent_dim == 2


def lambda_layer(config):
    config.update(module="keras.layers", class_name="Lambda", registered_name=None)


def nested_lambda(config):
    config["config"]["activation"] = {"class_name": "__lambda__", "config": {"value": ["4wE="]}}


def nested_function(config):
    config["config"]["activation"] = {
        "module": "os", "class_name": "function", "config": "system", "registered_name": "system",
    }  # fmt: skip


def other_module(config):
    config["compile_config"]["optimizer"].update(module="subprocess", class_name="Popen")


def torch_module(config):
    config["compile_config"]["optimizer"].update(
        module="keras.layers", class_name="TorchModuleWrapper"
    )


def file_reader(config):
    config["config"]["dtype"] = {
        "module": "keras.layers", "class_name": "StringLookup", "registered_name": None,
        "config": {"vocabulary": "/etc/passwd"},
    }  # fmt: skip


def shadowed_name(config):
    config["compile_config"]["optimizer"]["registered_name"] = "another>Adam"


def under_our_name(config):
    config["module"] = "keras_ae.variants.vae"
    config["class_name"], config["registered_name"] = "Model", "keras_ae>VAE"


@pytest.mark.parametrize(
    "attack",
    [
        lambda_layer, nested_lambda, nested_function, other_module, torch_module, file_reader,
        shadowed_name, under_our_name,
    ],
)  # fmt: skip
def test_config_with_other_classes_is_refused(path, attack):
    rewritten(path, config=planted(attack))
    with pytest.raises(ValueError, match="it names|is no variant"):
        load_model(path)


def external_link(file):
    file["decoder/stolen"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file):
    file["decoder/stolen"] = h5py.SoftLink("/encoder")


def circle(file):
    file["decoder/round"] = file["decoder"]


def external_storage(file):
    file.create_dataset("stolen", (16,), "u1", external=[("/etc/hostname", 0, 16)])


def virtual_array(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (4,))
    file.create_virtual_dataset("stolen", layout)


def endless_array(file):
    file.create_dataset("endless", (2**40,), "f4", chunks=(1024,), fillvalue=0.0)


@pytest.mark.parametrize(
    "attack", [external_link, soft_link, circle, external_storage, virtual_array, endless_array]
)
def test_external_cyclic_and_endless_weights_are_refused(path, attack):
    rewritten(path, weights=weights(attack))
    with pytest.raises(ValueError, match="its weights"):
        check_model_file(path)


def test_archive_that_expands_to_gigabytes_is_refused(path):
    rewritten(path, weights=lambda data: data + bytes(2**26))
    with pytest.raises(ValueError, match="decompresses"):
        check_model_file(path)


@pytest.mark.parametrize("name", ["../../outside.py", "assets/vocabulary.txt", "/etc/cron.d/x"])
def test_unexpected_archive_member_is_refused(path, name):
    rewritten(path, **{name: lambda _: b"x"})
    with pytest.raises(ValueError, match="instead of a variant"):
        check_model_file(path)


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5"])
def test_hdf5_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=".keras file.*received") as caught:
        keras_ae.Deep((4, 4), 2, hidden_units=4).save(tmp_path / name)
    assert "\n" not in str(caught.value) and not (tmp_path / name).exists()
