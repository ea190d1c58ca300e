"""The model that comes with pokejax: where it is, and what it must be.

`docs/RESULTS.md` says how it was made and how good it is.
"""

from pathlib import Path

MODEL = Path(__file__).parents[1] / "weights" / "thumbnail64.safetensors"
SHA256 = "1d134a2e229a7e2695104ef41474ec4a1c59eb46ae7a1fe826884cb5f0331aa2"
