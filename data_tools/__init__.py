"""The data commands: sprites, their metadata, the dataset. No JAX in here."""
