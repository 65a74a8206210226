"""What a user writes; `pyright` must find nothing in it."""

import keras
import numpy as np

import keras_ae

images = np.random.default_rng(0).random((64, 28, 28), dtype=np.float32)
model = keras_ae.VAE(image_shape=(28, 28), latent_dim=2, hidden_units=(32,), beta=0.5)
model.compile(optimizer="adam", jit_compile=False)
history = model.fit(images, epochs=1, batch_size=32, verbose=2, validation_split=0.25)
print(history.history["loss"][-1], model.evaluate(images, verbose=0, return_dict=True))
codes = model.encode(images)
print(codes.shape, model.decode(codes).shape, model.reconstruct(images[:2]).mean())
print(model.anomaly_score(images).argmax(), model.sample(4, seed=1).shape)
print(model.interpolate(images[0], images[1], num_steps=5).shape, model.predict(images).shape)
model.beta = 2.0
model.save("model.keras")
loaded = keras_ae.load_model("model.keras")
print(loaded.encode(images).shape, keras.models.load_model("model.keras"))
quantizer = keras_ae.VectorQuantizer(num_embeddings=8, commitment_cost=0.25)
print(keras_ae.VARIANTS["deep"].summary, quantizer(codes[:, None, :]), keras_ae.__version__)
