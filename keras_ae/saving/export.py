"""Export to SavedModel: serve a model in a process without keras_ae."""

from __future__ import annotations

import json
import os
from typing import Any

import keras
import tensorflow as tf

from keras_ae.anomaly.tools import MAPS
from keras_ae.checks import check_choice
from keras_ae.training.sources import assert_pixels

ERRORS = ("bce", "mse")  # scores that can be those of the endpoint anomaly_score


def export_saved_model(
    model: Any, filepath: Any, verbose: Any = None, score: str | None = None
) -> None:
    """Write a trained autoencoder as a SavedModel.

    Its endpoints are methods of the object that `tf.saved_model.load` returns, each with a free
    batch size: `serve(images)` (reconstructions), `encode(images)`, `decode(latents)`,
    `reconstruction_loss(images)`, `(N,)`; `anomaly_score(images)` and `anomaly_map(images)`;
    `sample(num_samples, seed)`, two int32 scalars, where the model has a prior;
    `sample_class(num_samples, seed, label)` where it was trained with labels; and
    `verdict(images)` where it has a threshold, with `verdict_map(images)` where the score of the
    threshold has a map. `verdict` gives a dict of `score` and `is_anomalous`, `(N,)` each,
    and `threshold`. All are deterministic: the code of a VAE is its mean. Input of another shape,
    that is not finite, or images with pixels outside the model's `pixel_range` are an error. The
    files `preprocessing.json` and `threshold.json` have `model.preprocessing` and
    `model.threshold_fit`, unless that is None; `map_scales.json` has the scale of each map of
    normal images that `fit_threshold` has seen (`usual_scale`).

    Args:
        model: An `Autoencoder`.
        filepath: The folder to write.
        verbose: As in `keras.Model.export`.
        score: "bce" or "mse", of `anomaly_score` and `anomaly_map`; None for the loss that the
            model was trained with.
    """
    loss = model.reconstruction_loss
    score = check_choice("score", score or loss, ERRORS)
    images = tf.TensorSpec((None, *model.image_shape), tf.float32, name="images")
    latents = tf.TensorSpec((None, *model.code_shape), tf.float32, name="latents")
    scalar = tf.TensorSpec((), tf.int32)

    def checked(inputs):
        # TensorFlow does not check the shape of a signature's input, so the graph does.
        given = tf.compat.v1.placeholder_with_default(inputs, shape=None)
        given = tf.ensure_shape(given, inputs.shape)
        return tf.debugging.check_numerics(given, "the input must be finite")

    def checked_images(inputs):
        given = checked(inputs)
        with tf.control_dependencies([assert_pixels(given, model.pixel_range)]):
            return tf.identity(given)

    def sample(num_samples, seed):
        return model.decode(model._sample_latents(num_samples, tf.stack([seed, 0])))

    def sample_class(num_samples, seed, label):
        labels = model._known_labels(tf.fill([num_samples], label))
        return model.decode(model._sample_latents(num_samples, tf.stack([seed, 0]), labels))

    fit = model.threshold_fit

    def verdict(images):
        scores = model.anomaly_score(checked_images(images), fit.score, num_samples=fit.num_samples)
        threshold = tf.constant(fit.threshold, tf.float32)
        return {"score": scores, "is_anomalous": scores > threshold, "threshold": threshold}

    archive: Any = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve", lambda images: model.reconstruct(checked_images(images)), [images]
    )
    archive.add_endpoint("encode", lambda images: model.encode(checked_images(images)), [images])
    archive.add_endpoint("decode", lambda latents: model.decode(checked(latents)), [latents])
    for name, of_endpoint in (("reconstruction_loss", loss), ("anomaly_score", score)):
        archive.add_endpoint(
            name,
            lambda images, kind=of_endpoint: model.anomaly_score(checked_images(images), kind),
            [images],
        )
    archive.add_endpoint(
        "anomaly_map",
        lambda images: model.anomaly_map(checked_images(images), score=score),
        [images],
    )
    if fit is not None:
        archive.add_endpoint("verdict", verdict, [images])
        if fit.score in MAPS:
            archive.add_endpoint(
                "verdict_map",
                lambda images: model.anomaly_map(checked_images(images), score=fit.score),
                [images],
            )
    if model.can_sample:
        archive.add_endpoint("sample", sample, [scalar, scalar])
    if model.can_sample and model.needs_labels:
        archive.add_endpoint("sample_class", sample_class, [scalar, scalar, scalar])
    archive.write_out(filepath, verbose=verbose)
    settings = {
        "preprocessing.json": model.preprocessing,
        "threshold.json": None if fit is None else fit.to_dict(),
        "map_scales.json": model.map_scales or None,
    }
    for name, content in settings.items():
        path = os.path.join(filepath, name)
        if content is None:
            if tf.io.gfile.exists(path):  # of another model that was exported here before
                tf.io.gfile.remove(path)
        else:
            with tf.io.gfile.GFile(path, "w") as file:
                file.write(json.dumps(content, indent=2) + "\n")
