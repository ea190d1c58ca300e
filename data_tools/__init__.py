"""The data commands: sprites, their metadata, the dataset. No JAX in here."""

from pokejax.startup import explain_early_ends

explain_early_ends()
