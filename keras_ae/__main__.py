"""`python -m keras_ae`: the same as `keras-ae`."""

import sys

from keras_ae.cli import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m keras_ae"))
