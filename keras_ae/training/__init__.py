"""Fast training: `keras.Model.fit` with many steps in one compiled call."""
