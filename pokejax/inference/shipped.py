"""The model that comes with pokejax: where it is, and what it must be.

`docs/RESULTS.md` says how it was made and how good it is.
"""

from pathlib import Path

MODEL = Path(__file__).parents[1] / "weights" / "thumbnail64.safetensors"
SHA256 = "107b4a1bb494657aa631a5c01fa41e25d78c2b4e8a354c7bc95ae6b1802d469c"
