"""The model that comes with pokejax: where it is, and what it must be.

`docs/RESULTS.md` says how it was made and how good it is.
"""

from pathlib import Path

MODEL = Path(__file__).parents[1] / "weights" / "pokemon64.safetensors"
SHA256 = "a46d4e1f68d2e97079610aab7810a823c91bf317de652c84c2513f11984cf82c"
