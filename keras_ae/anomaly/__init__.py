"""Anomaly detection: scores, maps of the error, thresholds and verdicts."""
