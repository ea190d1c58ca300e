"""The model that comes with pokejax: where it is, and what it must be.

`docs/RESULTS.md` says how it was made and how good it is.
"""

from pathlib import Path

MODEL = Path(__file__).parents[1] / "weights" / "thumbnail64.safetensors"
SHA256 = "964c108f9b63e01fb9d3e14b271ad056f2da78e00a5141ba9288ea9bb75a7851"
