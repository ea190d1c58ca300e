"""Datasets: where they are read, and which pictures a step sees."""
