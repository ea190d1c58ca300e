"""Training: what is minimised, the step, the loop, and what a run leaves behind."""
