"""Saving and loading models: safe loading of `.keras` files, export to SavedModel."""
