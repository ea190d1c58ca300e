"""The model that comes with pokejax: where it is, and what it must be.

`docs/RESULTS.md` says how it was made and how good it is.
"""

from pathlib import Path

MODEL = Path(__file__).parents[1] / "weights" / "pokemon64.safetensors"
SHA256 = "7d12a80ea814912e83efb5b98060fbfbcf0bd48d872e6e8c7d0e3f03202c4f30"
