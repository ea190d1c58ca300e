"""Commands that come with the packages of this environment, and flags of the suite."""

import sys
from pathlib import Path

# Compiling is most of what the tests of tiny models do. With these it takes half as
# long; `make test-all` compiles as people do.
QUICK_XLA = (
    "--xla_backend_optimization_level=1 --xla_llvm_disable_expensive_passes=true"
)


def tool(name: str) -> str:
    """The path of a command beside the running Python."""
    return str(Path(sys.executable).parent / name)
