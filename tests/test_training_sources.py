"""Data that arrives in batches: the same results as arrays, and bad batches are refused."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_ae
from keras_ae.training.sources import as_arrays, num_batches

SHAPE = (6, 5)
BATCH = 16


def images(num=48):
    return np.random.default_rng(0).random((num, *SHAPE)).astype("float32")


def built(kind=keras_ae.VAE, **arguments):
    keras.utils.set_random_seed(1)
    model = kind(SHAPE, 3, hidden_units=8, seed=1, **arguments)
    model.compile(keras.optimizers.SGD(1e-3), jit_compile=False)
    return model


class Pairs(keras.utils.PyDataset):
    def __init__(self, array):
        super().__init__()
        self.array = array

    def __len__(self):
        return -(-len(self.array) // BATCH)

    def __getitem__(self, index):
        part = self.array[index * BATCH : (index + 1) * BATCH]
        return part, part


class DataLoader:
    """Has what Keras and this package use of PyTorch's class of the same name."""

    __module__ = "torch.utils.data.dataloader"

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return -(-len(self.array) // BATCH)

    def __iter__(self):
        return (Tensor(self.array[start : start + BATCH]) for start in range(0, 48, BATCH))


class Tensor:
    """As a PyTorch tensor, which NumPy cannot read before `detach`."""

    def __init__(self, array):
        self.array = array

    def detach(self):
        return self

    def cpu(self):
        return self.array


def dataset(array):
    return tf.data.Dataset.from_tensor_slices(array).batch(BATCH)


def dict_dataset(array):
    return dataset({"image": array, "label": np.zeros(len(array), "int64")})


def generator(array):
    return iter([array[start : start + BATCH] for start in range(0, len(array), BATCH)])


SOURCES = {
    "tf.data": dataset,
    "tf.data of pairs": lambda array: dataset((array, array)),
    "tf.data of dicts": dict_dataset,
    "PyDataset": Pairs,
    "DataLoader": DataLoader,
    "generator": generator,
}


def bad(value):
    """The images, with an unusable pixel in the last batch."""
    array = images()
    array[-1, 2, 2] = value
    return array


@pytest.fixture(scope="module")
def expected():
    model = built()
    history = model.fit(images(), batch_size=BATCH, shuffle=False, verbose=0).history
    return history, model.anomaly_score(images())


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_trains_like_an_array(kind, expected, eager):
    model = built()
    steps = 3 if kind == "generator" else None  # nothing else says how many there are
    history = model.fit(SOURCES[kind](images()), steps_per_epoch=steps, verbose=0).history
    assert history["loss"] == pytest.approx(expected[0]["loss"], rel=1e-5)
    scores = model.anomaly_score(SOURCES[kind](images()))
    np.testing.assert_allclose(scores, expected[1], rtol=1e-4)
    np.testing.assert_allclose(
        model.predict(SOURCES[kind](images()), verbose=0), model.reconstruct(images()), rtol=1e-5
    )


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict", "encode", "anomaly_score"])
@pytest.mark.parametrize("kind", SOURCES)
def test_bad_pixel_in_the_last_batch_is_refused_in_one_line(kind, method, eager):
    options = {"verbose": 0} if method in ("fit", "evaluate", "predict") else {}
    value, words = (np.nan, "NaN") if method == "evaluate" else (255.0, "Divide them by 255")
    with pytest.raises(ValueError, match=words) as caught:
        getattr(built(), method)(SOURCES[kind](bad(value)), **options)
    assert "\n" not in str(caught.value)


def test_bad_pixel_is_refused_by_a_compiled_fit_and_its_validation():
    for data, validation in ((dataset(bad(-3.0)), None), (images(), dataset(bad(-3.0)))):
        with pytest.raises(ValueError, match="received pixels from -3 to 0.99") as caught:
            built().fit(data, validation_data=validation, verbose=0)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["train_on_batch", "test_on_batch", "predict_on_batch"])
def test_single_batches_are_checked(method):
    model = built()
    with pytest.raises(ValueError, match="Divide them by 255"):
        getattr(model, method)(images() * 255)
    assert np.isfinite(getattr(model, method)(images())).all()


@pytest.mark.parametrize("method", ["encode", "reconstruct", "anomaly_score"])
def test_tensors_with_values_are_checked(method):
    model = built()
    for tensor in (tf.constant(images() * 255), tf.constant(images() * 255, tf.uint8)):
        with pytest.raises(ValueError, match="Divide them by 255"):
            getattr(model, method)(tensor)
    answer = getattr(model, method)(tf.constant(images()))
    assert tf.is_tensor(answer)
    np.testing.assert_allclose(answer, getattr(model, method)(images()), rtol=1e-5)


def test_dict_without_images_is_refused_with_its_keys():
    data = dataset({"picture": images()})
    with pytest.raises(ValueError, match="'image' or 'images'; received the keys 'picture'"):
        built().fit(data, verbose=0)


def test_conditional_model_takes_the_dicts_of_tensorflow_datasets(eager):
    labels = np.arange(48) % 3
    one, two = (built(keras_ae.ConditionalVAE, num_classes=3) for _ in range(2))
    one.fit(dataset({"image": images(), "label": labels}), verbose=0)
    two.fit(images(), labels, batch_size=BATCH, shuffle=False, verbose=0)
    for ours, theirs in zip(one.weights, two.weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)


def test_source_without_batches_is_refused():
    with pytest.raises(ValueError, match="it has none"):
        built().encode(dataset(images()[:0]))


def test_number_of_batches_is_known_where_the_source_says_it():
    known = {kind: num_batches(make(images())) for kind, make in SOURCES.items()}
    assert known.pop("generator") is None
    assert set(known.values()) == {3}
    assert num_batches(dataset(images()).repeat()) is None


def test_tensors_of_other_libraries_become_arrays():
    found = as_arrays({"image": Tensor(images(2)), "label": [tf.constant([1, 2]), None]})
    np.testing.assert_array_equal(found["image"], images(2))
    assert found["label"][0].tolist() == [1, 2] and found["label"][1] is None


def test_weights_without_targets_are_used(eager):
    weights = np.linspace(0, 2, 48).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((images(), weights)).batch(BATCH)
    one, two = built(), built()
    found = one.fit(data.map(lambda x, w: (x, None, w)), verbose=0).history
    expected = two.fit(
        images(), sample_weight=weights, batch_size=BATCH, shuffle=False, verbose=0
    ).history
    assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)


def test_conditional_model_uses_the_labels_of_a_dataset(eager):
    labels = np.arange(48) % 3
    model = built(keras_ae.ConditionalVAE, num_classes=3)
    expected = model.encode(images(), labels)
    for data in (dataset((images(), labels)), dataset({"image": images(), "label": labels})):
        np.testing.assert_allclose(model.encode(data), expected, rtol=1e-5)
    predicted = model.predict(dataset((images(), labels)), verbose=0)
    np.testing.assert_allclose(predicted, model.reconstruct(images(), labels), rtol=1e-5)


def test_tensors_mixed_with_arrays_are_checked():
    model = built(keras_ae.ConditionalVAE, num_classes=3)
    with pytest.raises(ValueError, match="must have pixels"):
        model.encode(tf.constant(images() + 5), labels=np.zeros(48, "int32"))


def test_dict_of_arrays_is_predicted():
    model = built()
    answer = model.predict({"image": images()}, verbose=0)
    np.testing.assert_allclose(answer, model.predict(images(), verbose=0), rtol=1e-6)


def test_loader_without_a_length_is_refused():
    class Endless(DataLoader):
        __module__ = "torch.utils.data.dataloader"

        def __len__(self):
            raise TypeError("object of type 'IterableDataset' has no len()")

    Endless.__name__ = "DataLoader"
    with pytest.raises(ValueError, match="must have a length.*generator"):
        built().fit(Endless(images()), verbose=0)


def test_the_check_of_a_dataset_is_not_converted_by_autograph(monkeypatch):
    # AutoGraph cannot convert it, and printed a warning of four lines.
    model, seen = built(), []
    guard = model._guard_batch

    def watched(*args):
        seen.append(tf.__internal__.autograph.control_status_ctx().status.name)
        return guard(*args)

    monkeypatch.setattr(model, "_guard_batch", watched)
    model._check_source(dataset(images()))
    assert seen == ["DISABLED"]


@pytest.mark.parametrize("variant", [keras_ae.Deep, keras_ae.ConditionalVAE])
def test_keys_that_are_not_used_are_named(variant):
    model = built(variant, **({"num_classes": 3} if variant is keras_ae.ConditionalVAE else {}))
    parts = {"images": images(), "labels": np.zeros(48, "int32")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.encode(parts)
    with pytest.warns(UserWarning, match="keys 'weight', 'id' of the inputs are not used"):
        model.encode({**parts, "weight": np.ones(48), "id": np.arange(48)})
