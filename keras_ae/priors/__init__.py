"""Priors: densities over the latent codes of a trained model, to sample from."""
