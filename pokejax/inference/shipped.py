"""The model that comes with pokejax: where it is, and what it must be.

`docs/RESULTS.md` says how it was made and how good it is.
"""

from pathlib import Path

MODEL = Path(__file__).parents[1] / "weights" / "thumbnail64.safetensors"
SHA256 = "f149ed1bfaaf8a5cb50dbe2a73576b6846e84ea11a77e187ce3d0eb790202865"
