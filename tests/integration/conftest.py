"""Fixtures: a run that nothing interrupted, for others to be compared with."""

from pathlib import Path

import pytest

from pokejax import train
from tests.helpers.runs import argv


@pytest.fixture(scope="session")
def unbroken(drawn_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its directory: three epochs, all of them saved. Copy it to change anything."""
    workdir = tmp_path_factory.mktemp("unbroken") / "run"
    assert train.main(argv(drawn_dataset, workdir)) == 0
    return workdir
