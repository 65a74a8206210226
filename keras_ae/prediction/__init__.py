"""Using trained models on files: predictions for images, images from codes, samples."""
