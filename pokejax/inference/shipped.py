"""The model that comes with pokejax: where it is, and what it must be.

`docs/RESULTS.md` says how it was made and how good it is.
"""

from pathlib import Path

MODEL = Path(__file__).parents[1] / "weights" / "pokemon64.safetensors"
SHA256 = "f9fc40d33c313ead40cb13be04eece3dd5f915adc8ee248a7164a4d253f042b3"
