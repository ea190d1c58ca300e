"""Recipes: each file here assigns one `config`; `--config` takes its path."""
