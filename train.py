"""Train autoencoder variants: the same as `keras-ae train`."""

import sys

from keras_ae.cli.train import main

if __name__ == "__main__":
    sys.exit(main(prog="train.py"))
