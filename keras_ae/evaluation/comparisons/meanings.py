"""What the columns of the comparisons are: a sentence, with the unit, for each heading.

The HTML report shows it on hover.
"""

from __future__ import annotations

MEANINGS = {
    "BCE, mean code": (
        "Binary cross-entropy between image and reconstruction, in nats/image; the code "
        "is the encoder's mean."
    ),
    "BCE, PCA of the same code size": (
        "The binary cross-entropy of a PCA with as many components as the code has "
        "numbers, in nats/image."
    ),
    "BCE, sampled code": (
        "Binary cross-entropy with a code drawn from the encoder's distribution, as in "
        "training, in nats/image."
    ),
    "-ELBO": (
        "Upper bound of the negative log-likelihood: BCE of a sampled code plus the KL "
        "divergence, in nats/image."
    ),
    "squared error": (
        "Squared difference between image and reconstruction, summed over the pixels of an image."
    ),
    "squared error, PCA of the same code size": (
        "The squared error of a PCA with as many components as the code has numbers, "
        "summed over the pixels."
    ),
    "Fréchet distance, fitted prior": (
        "Distance between generated and real images in the features of a small "
        "classifier; 0 is best. Codes come from a distribution fitted to the training "
        "codes."
    ),
    "Fréchet distance, own prior": (
        "Distance between generated and real images in the features of a small "
        "classifier; 0 is best. Codes come from the model's own prior."
    ),
    "confidence, fitted": (
        "The classifier's highest class probability for images from the fitted prior, from 0 to 1."
    ),
    "confidence, own": (
        "The classifier's highest class probability for images from the model's own "
        "prior, from 0 to 1."
    ),
    "class entropy, fitted": (
        "Entropy of the classes of images from the fitted prior, in nats: high where all "
        "classes are generated equally often."
    ),
    "class entropy, own": (
        "Entropy of the classes of images from the model's own prior, in nats: high where "
        "all classes are generated equally often."
    ),
    "nearest training image, fitted": (
        "L2 distance in pixels from a generated image, of the fitted prior, to the "
        "nearest training image; 0 is a copy."
    ),
    "nearest training image, own": (
        "L2 distance in pixels from a generated image, of the model's own prior, to the "
        "nearest training image; 0 is a copy."
    ),
    "mean confidence": (
        "The classifier's highest class probability along the path, averaged, from 0 to 1."
    ),
    "lowest confidence": (
        "The classifier's highest class probability at the least certain frame of the "
        "path, from 0 to 1."
    ),
    "largest step": (
        "The largest L2 distance between neighboring frames, divided by that between the ends."
    ),
    "nearest training image, L2": (
        "L2 distance in pixels from a frame of the path to the nearest training image."
    ),
    "10-nearest-neighbor accuracy": (
        "Share of the codes whose class is that of most of their 10 nearest other codes, "
        "from 0 to 1."
    ),
    "precision of the 10 nearest": (
        "Share of the 10 nearest other codes that have the same class, from 0 to 1."
    ),
    "silhouette": "How much closer a code is to its own class than to the next one, from -1 to 1.",
    "trustworthiness of the map": (
        "Share of neighbors on the map that are neighbors among the codes too, from 0 to 1."
    ),
    "active units": (
        "Units of the code whose mean varies over the images; the others carry no information."
    ),
    "KL, nats": (
        "Kullback-Leibler divergence of the code from the prior, in nats/image: how much "
        "information it may hold."
    ),
    "perplexity": "How many codebook entries are in use, if all were used equally often.",
    "codes used": "Share of the codebook entries that are chosen at least once, from 0 to 1.",
    "AUC": (
        "Area under the ROC curve: the probability that an anomalous image has a higher "
        "score than a normal one. 0.5 is chance."
    ),
    "AUC, signed residual": (
        "The AUC of the sum of reconstruction minus image, the score of the published figures."
    ),
    "AUC, PCA of the same code size": (
        "The AUC of the squared error of a PCA with as many components as the code has numbers."
    ),
    "AUPR": (
        "Area under the precision-recall curve, from 0 to 1; chance is the share of "
        "anomalous images."
    ),
    "recall at 1% false positives": (
        "Share of the anomalous images found where 1% of the normal test images are false alarms."
    ),
    "recall at 5% false positives": (
        "Share of the anomalous images found where 5% of the normal test images are false alarms."
    ),
    "F1 at the threshold": (
        "Harmonic mean of precision and recall at the model's threshold, from 0 to 1."
    ),
    "recall at the threshold": (
        "Share of the anomalous images above the model's threshold, from 0 to 1."
    ),
    "false positive rate at the threshold": (
        "Share of the normal images above the model's threshold, from 0 to 1."
    ),
    "false positive rate on the test images": (
        "Share of the test images, which all count as normal, above the threshold, from 0 to 1."
    ),
    "pixel AUC": "The AUC of single pixels of the anomaly maps, compared with the masks.",
    "AUPRO": (
        "Area under the curve of the overlap of each anomalous region, up to 30% false "
        "positives, from 0 to 1."
    ),
    "converged": "Test accuracy of a converged logistic regression on the codes, from 0 to 1.",
    "spread over draws": "Standard deviation of that accuracy over draws of the labeled images.",
    "published protocol": (
        "Test accuracy by the published protocol: a linear layer trained for at most 20 epochs."
    ),
    "fine-tuned": "Test accuracy of the encoder trained further on the few labels, from 0 to 1.",
    "from scratch": (
        "Test accuracy of the same network trained on the few labels alone, from 0 to 1."
    ),
    "bce": "AUC of the binary cross-entropy of the reconstruction.",
    "mse": "AUC of the mean squared error of the reconstruction.",
    "ssim": "AUC of 1 minus the structural similarity of image and reconstruction.",
    "signed_residual": "AUC of the sum of reconstruction minus image.",
    "elbo": "AUC of the negative evidence lower bound.",
    "log_likelihood": "AUC of the negative log-likelihood, estimated with importance samples.",
    "latent_density": "AUC of the negative log-density of the code.",
    "mahalanobis": "AUC of the Mahalanobis distance of the code to those of training images.",
    "local_residual": "AUC of how unusual the residual is in small windows.",
}
