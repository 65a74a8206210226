"""Evaluation of trained runs: comparisons, their cache, summaries, figures and the report."""
