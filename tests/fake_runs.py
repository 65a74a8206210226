"""Fake run directories, made without training."""

import json

from keras_ae.runs.request import RunConfig, RunData, RunRequest


def config(variant="deep", **request) -> RunConfig:
    """A config of a run on `digits`."""
    held_out = request.get("held_out_class")
    return RunConfig(
        RunRequest(
            **{
                "variant": variant,
                "latent_dim": 20,
                "arguments": {},
                "dataset": "digits",
                "fingerprint": "0" * 16,
                "held_out_class": None,
                "epochs": 3,
                "batch_size": 256,
                "learning_rate": 0.001,
                "seed": 42,
                **request,
            }
        ),
        RunData(
            source="digits",
            class_names=list("0123456789"),
            num_train=10,
            num_validation=2,
            num_test=3,
            data_dir=None,
            held_out_index=None if held_out is None else int(held_out),
            image_shape=[8, 8],
        ),
    )


def write_run(folder, variant="deep", *, finished=True, epochs=60, **request):
    """Write the files of a run; the model file has no valid content."""
    content = config(variant, epochs=epochs, **request).to_dict()
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "history.csv").write_text("epoch,seconds,loss\n1,0.5,3.0\n2,0.25,2.0\n")
    (folder / "model.keras").write_bytes(b"none")
    if finished:
        results = {"reconstruction_loss": 64.5, "seconds_per_epoch": 0.25}
        (folder / "test.json").write_text(json.dumps(results))
    return folder
