"""Run the train.py of the current folder; write the CPU time at the end of each part to a file.

    python benchmarks/phases.py FILE [arguments of train.py]

Works with this version and with 0.1.0. Used by `benchmarks.startup`.
"""

import functools
import importlib.util
import json
import runpy
import sys
import time

PARTS = ("imports", "data", "model and tensors", "tracing", "compiling", "first epoch")
MODULES = ("keras_ae.data", "keras_ae.training", "keras_ae.training.trainer")
ends = {}


def end(part):
    """The first end of a part."""
    ends.setdefault(part, time.process_time())


def marked(function, before=None, after=None):
    """A function that ends one part where it begins, and another one where it ends."""

    @functools.wraps(function)
    def wrapped(*arguments, **named):
        if before:
            end(before)
        result = function(*arguments, **named)
        if after:
            end(after)
        return result

    return wrapped


class InParts:
    """The compiled steps, whose first call is made in parts; no step is run before the last."""

    def __init__(self, function):
        self.function = function
        self.called = False

    def __call__(self, data, batches, start, stop):
        if not self.called:
            self.called = True
            end("model and tensors")
            self.function.get_concrete_function(data, batches, start, stop)
            end("tracing")
            self.function(data, batches, stop, stop)
            end("compiling")
        self.function(data, batches, start, stop)


def make_in_parts(make):
    @functools.wraps(make)
    def wrapped(self, *arguments, **named):
        result = make(self, *arguments, **named)
        for name in ("_stretch", "_multi_step"):  # in 0.1.0 and now
            function = getattr(self, name, None)
            if function is not None and not isinstance(function, InParts):
                setattr(self, name, InParts(function))
        return result

    return wrapped


def change(module):
    if module.__name__ == "keras_ae.data":
        module.load = marked(module.load, before="imports")
        module.split = marked(module.split, after="data")
    for kind in list(vars(module).values()):
        if isinstance(kind, type) and "_train_from_memory" in vars(kind):
            kind.make_train_function = make_in_parts(kind.make_train_function)
            kind.evaluate = marked(kind.evaluate, after="first epoch")


class Hook:
    """Changes the modules when they are imported: what is imported first is left as it is."""

    busy = False

    def find_spec(self, name, path=None, target=None):
        if self.busy or name not in MODULES:
            return None
        self.busy = True
        spec = importlib.util.find_spec(name)
        self.busy = False
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            change(module)

        spec.loader.exec_module = exec_module
        return spec


if __name__ == "__main__":
    output = sys.argv.pop(1)
    sys.path[0] = ""
    sys.meta_path.insert(0, Hook())
    try:
        runpy.run_path("train.py", run_name="__main__")
    finally:
        with open(output, "w") as file:
            json.dump([ends[part] for part in PARTS], file)
