"""The model that comes with pokejax: where it is, and what it must be.

`docs/RESULTS.md` says how it was made and how good it is.
"""

from pathlib import Path

MODEL = Path(__file__).parents[1] / "weights" / "pokemon64.safetensors"
SHA256 = "e299a90b2a0845ef0b4b7014a3df840d789b091ec47651f1c6a8466fc41a3890"
