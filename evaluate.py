"""Compare trained runs: the same as `keras-ae evaluate`."""

import sys

from keras_ae.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main(prog="evaluate.py"))
