"""Programs to time: each function prepares a training and returns a function that runs it.

All train the 20-D `deep` network (784-341-113-20 and back) with Adam 1e-3 and batch size 256 on
the same images, unless an argument names another variant. Each contender runs in its own process
(`worker.py`), so that PyTorch and TensorFlow do not share threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from benchmarks.report import num_cores

BATCH_SIZE = 256
NUM_IMAGES = 55_000
NUM_EPOCHS = 2  # per call, so that the fixed cost of a `fit` call is shared
HIDDEN_UNITS = (341, 113)


def images(num_images: int = NUM_IMAGES) -> np.ndarray:
    """The images saved by `prepare_images`, repeated to `num_images`."""
    stored = np.load(os.environ["BENCHMARK_IMAGES"])
    return stored[np.resize(np.arange(len(stored)), num_images)]


def prepare_images(path: str) -> str:
    """Save MNIST's training images to `path`, or equally sparse noise if MNIST is not prepared.

    Contenders read them from there, so that PyTorch processes do not load TensorFlow. Returns a
    description of the images.
    """
    from keras_ae import data

    try:
        chosen, words = data.split(data.load("mnist")).train.images, "MNIST's training images"
    except ValueError:
        random = np.random.default_rng(0)
        chosen = random.random((55_000, 28, 28), dtype=np.float32)
        chosen *= random.random(chosen.shape) < 0.19
        words = "noise as sparse as MNIST"
    np.save(path, chosen)
    os.environ["BENCHMARK_IMAGES"] = path
    return words


# ---- keras_ae ----


def variant(name: str, **options) -> Callable[[], None]:
    """What a user writes: build, compile, fit on an array."""
    os.environ["XLA_FLAGS"] = options.pop("xla_flags", "")  # read when TensorFlow starts
    import keras
    import tensorflow as tf

    from keras_ae.variants import VARIANTS

    tf.config.threading.set_intra_op_parallelism_threads(options.pop("num_threads", 0))
    keras.utils.set_random_seed(0)
    compile_options = {
        key: options.pop(key) for key in ("jit_compile", "run_eagerly") if key in options
    }
    batch_size = options.pop("batch_size", BATCH_SIZE)
    x = images(options.pop("num_images", NUM_IMAGES))
    num_epochs = options.pop("num_epochs", NUM_EPOCHS)
    validation = options.pop("validation", False)
    callback = options.pop("callback", None)
    model = VARIANTS[name](seed=0, **options)
    model.compile(**compile_options)
    epoch = 0
    arguments = {}
    if validation:
        arguments["validation_data"] = x[:5000]
        arguments["callbacks"] = [callback or keras.callbacks.EarlyStopping(patience=10**6)]

    def run() -> None:
        nonlocal epoch
        # Not for `stacked`, which shares the epochs of one `fit` among its stages.
        model.fit(
            x,
            batch_size=batch_size,
            initial_epoch=epoch,
            epochs=epoch + num_epochs,
            verbose=0,
            **arguments,
        )
        epoch += num_epochs

    run.num_epochs = num_epochs
    return run


def train_script(num_images: int = NUM_IMAGES) -> Callable[[], None]:
    """What `train.py` does in an epoch: fit, validation, checkpoint, history file."""
    import tempfile

    from keras_ae.runs.checkpoint import Checkpoint, CheckpointCallback
    from keras_ae.runs.request import RunRequest
    from keras_ae.runs.run_directory import RunDirectory

    request = RunRequest(
        variant="deep",
        latent_dim=20,
        dataset="mnist",
        fingerprint="",
        epochs=NUM_EPOCHS,
        batch_size=BATCH_SIZE,
        learning_rate=1e-3,
        seed=0,
        arguments={},
        held_out_class=None,
    )
    checkpoint = Checkpoint(RunDirectory(tempfile.mkdtemp()), request)
    callback = CheckpointCallback(checkpoint)
    return variant("deep", validation=True, callback=callback, num_images=num_images)


def several_seeds(num_seeds: int) -> Callable[[], None]:
    """`num_seeds` copies of `deep` in one program: stacked kernels, batched matrix products."""
    import keras
    import tensorflow as tf

    outer, inner = HIDDEN_UNITS
    sizes = [784, outer, inner, 20, inner, outer, 784]
    normalized = [True, True, False, True, True, False]  # otherwise a bias
    x = tf.constant(images().reshape(-1, 784))
    glorot = keras.initializers.GlorotUniform(keras.random.SeedGenerator(0))
    kernels = [
        tf.Variable(tf.stack([glorot(shape) for _ in range(num_seeds)]))
        for shape in zip(sizes[:-1], sizes[1:], strict=True)
    ]
    shifts = [tf.Variable(tf.zeros((num_seeds, 1, units))) for units in sizes[1:]]
    scales = [tf.Variable(tf.ones((num_seeds, 1, units))) for units in sizes[1:]]
    variables = kernels + shifts + [s for s, norm in zip(scales, normalized, strict=True) if norm]
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(variables)

    def logits(batch):
        values = batch
        for kernel, shift, scale, norm in zip(kernels, shifts, scales, normalized, strict=True):
            values = tf.matmul(values, kernel)
            if norm:
                mean, variance = tf.nn.moments(values, axes=[1], keepdims=True)
                values = (values - mean) * tf.math.rsqrt(variance + 1e-3) * scale
            values = values + shift
            values = tf.nn.relu(values) if norm else values
        return values

    def step(indices) -> None:
        batch = tf.gather(x, indices)  # (seeds, batch, pixels): each seed has its own order
        with tf.GradientTape() as tape:
            bce = tf.nn.sigmoid_cross_entropy_with_logits(batch, logits(batch))
            loss = tf.reduce_sum(bce) / BATCH_SIZE
        optimizer.apply(tape.gradient(loss, variables), variables)

    @tf.function(autograph=False, jit_compile=True)
    def epoch(order):
        def body(number):
            step(order[number])
            return (number + 1,)

        tf.while_loop(lambda number: number < order.shape[0], body, (0,), parallel_iterations=1)

    def run() -> None:
        num_full = len(x) // BATCH_SIZE
        orders = [tf.random.shuffle(tf.range(len(x))) for _ in range(num_seeds)]
        order = tf.reshape(tf.stack(orders)[:, : num_full * BATCH_SIZE], (num_seeds, num_full, -1))
        epoch(tf.transpose(order, (1, 0, 2)))
        kernels[0][0, 0, 0].numpy()

    return run


# ---- programs to compare with ----


def plain_keras(validation: bool = False, num_images: int = NUM_IMAGES) -> Callable[[], None]:
    """The same network from stock Keras layers, `model.fit(x, x)`."""
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(0)

    def block(units: int) -> list:
        return [
            layers.Dense(units, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
        ]

    outer, inner = HIDDEN_UNITS
    model = keras.Sequential(
        [layers.Input((28, 28)), layers.Flatten(), *block(outer), *block(inner), layers.Dense(20)]
        + [*block(inner), *block(outer), layers.Dense(784), layers.Reshape((28, 28))]
    )

    def nats(targets, logits):
        bce = keras.ops.binary_crossentropy(targets, logits, from_logits=True)
        return keras.ops.sum(bce, axis=(1, 2))

    model.compile(keras.optimizers.Adam(1e-3), loss=nats)
    x = images(num_images)
    arguments = {"validation_data": (x[:5000], x[:5000])} if validation else {}

    def run() -> None:
        model.fit(x, x, batch_size=BATCH_SIZE, epochs=NUM_EPOCHS, verbose=0, **arguments)

    run.num_epochs = NUM_EPOCHS
    return run


def torch_training(
    name: str = "deep", form: str = "eager", num_images: int = NUM_IMAGES
) -> Callable[[], None]:
    """A bare PyTorch loop over a tensor in memory.

    Args:
        name: One of `benchmarks.torch_nets.NETS`.
        form: "eager", "channels-last" (memory format, for convolutions) or "compiled"
            (`torch.compile`, which needs a C++ compiler).
        num_images: Images per epoch.
    """
    import torch

    from benchmarks.torch_nets import NETS

    net = NETS[name]
    x = torch.from_numpy(images(num_images).reshape(-1, *net.image_shape))
    step = torch_step(net, form)

    def run() -> None:
        order = torch.randperm(len(x))
        for start in range(0, len(x), BATCH_SIZE):
            step(x[order[start : start + BATCH_SIZE]])

    return run


def torch_step(make: Callable, form: str = "eager") -> Callable:
    """A training step of a network of `benchmarks.torch_nets`: a function of a batch."""
    import torch

    torch.set_num_threads(num_cores())
    torch.manual_seed(0)
    net = make()
    if form == "channels-last":
        net = net.to(memory_format=torch.channels_last)
    # The short last batch is compiled too, instead of all batches for sizes that may change.
    loss = torch.compile(net.loss, dynamic=False) if form == "compiled" else net.loss
    weights = [weight for weight in net.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, 1e-3, eps=1e-7, fused=True)  # epsilon of Keras

    def step(batch) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(batch, torch.randn(len(batch), net.num_noise)).backward()
        optimizer.step()

    return step


def reference_pipeline(num_images: int = NUM_IMAGES) -> Callable[[], None]:
    """The PyTorch loop with the reference's input pipeline: images padded and converted one by one.

    Its torchvision transforms `Pad(2)` and `ToTensor` are emulated with Pillow. The DataLoader has
    one worker per core. The overhead of the reference's trainer is not included.
    """
    import torch
    from PIL import Image, ImageOps

    from benchmarks.torch_nets import Deep

    stored = (images(num_images) * 255).astype(np.uint8)

    class Padded(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(stored)

        def __getitem__(self, index: int):
            padded = ImageOps.expand(Image.fromarray(stored[index]), 2)
            return torch.from_numpy(np.array(padded)).float().div(255).unsqueeze(0)

    loader = torch.utils.data.DataLoader(
        Padded(), batch_size=BATCH_SIZE, shuffle=True, num_workers=num_cores()
    )
    step = torch_step(lambda: Deep(num_pixels=1024))

    def run() -> None:
        for batch in loader:
            step(batch.flatten(1))

    return run


def matrix_product(size: int = 2048, repeats: int = 10) -> Callable[[], None]:
    """Multiply two large float32 matrices in TensorFlow; an epoch is one product."""
    import tensorflow as tf

    matrix = tf.random.normal((size, size))
    product = tf.function(lambda a: tf.matmul(a, a))

    def run() -> None:
        for _ in range(repeats):
            result = product(matrix)
        result.numpy()

    run.num_epochs = repeats
    return run


def networks(names: list[str]) -> Callable[[], None]:
    """No training: facts about the networks of variants, once PyTorch's are known to be the same.

    `facts` has for each name `num_parameters`, the trained ones, and `operations`, those per image
    of a training step.

    Raises:
        AssertionError: PyTorch's network is another one (see `benchmarks.same_nets`).
    """
    import math

    from benchmarks.operations import operations_per_image
    from benchmarks.same_nets import assert_same_network
    from keras_ae.variants import VARIANTS

    def run() -> None:
        pass

    run.facts = {}
    for name in names:
        assert_same_network(name)
        model = VARIANTS[name]()
        run.facts[name] = {
            "num_parameters": sum(math.prod(v.shape) for v in model.trainable_variables),
            "operations": operations_per_image(model),
        }
    return run


CONTENDERS: dict[str, Callable[..., Callable[[], None]]] = {
    "variant": variant,
    "train_script": train_script,
    "several_seeds": several_seeds,
    "plain_keras": plain_keras,
    "torch_training": torch_training,
    "reference_pipeline": reference_pipeline,
    "matrix_product": matrix_product,
    "networks": networks,
}
