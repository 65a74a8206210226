"""Run directories without a training."""

import json


def write_run(folder, variant="deep", *, finished=True, **request):
    """The files of a run as train.py leaves them, but for the model's content."""
    request = {
        "variant": variant,
        "latent_dim": 20,
        "arguments": {},
        "dataset": "digits",
        "fingerprint": "0" * 16,
        "held_out_class": None,
        "epochs": 60,
        "batch_size": 256,
        "learning_rate": 0.001,
        "seed": 42,
        "jit": "auto",
        **request,
    }
    held_out = request["held_out_class"]
    config = {
        "request": request,
        "data": {
            "source": "digits",
            "classes": None,
            "data_dir": None,
            "class_names": list("0123456789"),
            "held_out_index": None if held_out is None else int(held_out),
            "num_train": 10,
            "num_validation": 2,
            "num_test": 3,
        },
    }
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "history.csv").write_text("epoch,seconds,loss\n1,0.5,3.0\n2,0.25,2.0\n")
    (folder / "model.keras").write_bytes(b"none")
    if finished:
        results = {"reconstruction_loss": 64.5, "seconds_per_epoch": 0.25}
        (folder / "test.json").write_text(json.dumps(results))
    return folder
