"""The benchmarks' own machinery, without torch: arguments, turns, one quick run."""

import importlib
import re
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from pokejax.attributes import CONDITIONS
from pokejax.training import step as steps

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
WORKER = """
import sys, time
sys.path.insert(0, {folder!r})
import turns
side = sys.argv[sys.argv.index("--side") + 1]
if side == "broken":
    sys.exit("no such framework")
pause = {{"fast": 0.01, "slow": 0.05}}[side]
def prepare():
    print("chatter that is no answer", flush=True)
    return lambda: time.sleep(pause)
turns.serve(prepare, 2, side + " 1.0")
"""


@pytest.fixture(autouse=True)
def scripts_see_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def test_turns_time_each_side_and_leave_out_what_does_not_start(tmp_path, capsys):
    turns = importlib.import_module("turns")
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(folder=str(BENCHMARKS)))
    taken = turns.take_turns(("fast", "slow", "broken"), str(script), [], rounds=3)
    turns.table(taken, "fast", pictures=1)
    printed = capsys.readouterr().out
    assert {side: len(own) for side, own in taken.items()} == {"fast": 3, "slow": 3}
    assert all(turn.seconds >= 0.01 for turn in taken["fast"])
    assert all(turn.seconds >= 0.05 for turn in taken["slow"])
    assert "broken: did not start: no such framework" in printed
    assert float(re.findall(r"slow .*?([\d.]+)x", printed)[0]) > 1


def test_turns_end_when_no_side_starts(tmp_path):
    turns = importlib.import_module("turns")
    script = tmp_path / "worker.py"
    script.write_text(WORKER.format(folder=str(BENCHMARKS)))
    with pytest.raises(SystemExit, match="no side started"):
        turns.take_turns(("broken",), str(script), [], rounds=1)


@pytest.mark.parametrize("name", ["train_step", "generate_latency", "gpu_training"])
def test_wrong_arguments_are_refused_before_anything_heavy_starts(name, capsys):
    module = importlib.import_module(name)
    with pytest.raises(SystemExit) as stopped:
        module.main(["--batch", "many"])
    assert stopped.value.code == 2
    assert "--batch: invalid int value: 'many'" in capsys.readouterr().err
    assert "torch" not in sys.modules


def test_a_curve_is_monotone_only_if_no_seed_for_seed_fall_is_sure():
    sliders = importlib.import_module("sliders")
    seeds = np.arange(100)

    def verdict(*shares: int) -> str:
        return sliders.verdict(np.array([seeds < share for share in shares]))

    assert verdict(10, 20, 30, 40, 39, 60, 70) == "yes"  # by one picture
    assert verdict(10, 20, 30, 60, 50, 40, 30) == "no: falls from 1 to 1.5"
    assert verdict(*[30] * 7) == "flat"


def test_random_pictures_are_a_set_that_the_trainer_can_read():
    gpu_training = importlib.import_module("gpu_training")
    dataset = gpu_training.random_dataset(12, text_dim=16)
    train = dataset.splits["train"]
    sizes = [len(names) for names in CONDITIONS.values()]
    assert (train.attributes.max(0) < sizes).all() and train.attributes.min() >= 0
    batch = steps.gather(
        steps.split_arrays(train, dataset.text_emb), jnp.arange(12), jnp.full(12, 4)
    )
    assert batch.image.shape == (12, 64, 64, 4) and batch.text_emb.shape == (12, 16)
    assert abs(batch.image).max() <= 1


def test_resident_pictures_cost_what_uint8_costs(capsys):
    gpu_training = importlib.import_module("gpu_training")
    gpu_training.print_resident(10)
    images = re.findall(r"images\s+([\d,]+) uint8", capsys.readouterr().out)
    assert images == ["122,880"]


def test_simulated_replicas_follow_the_arithmetic():
    pytest.importorskip("simpy")
    simulate = importlib.import_module("capacity").simulate
    times = {"draws": [0.2], "overheads": [0.03], "tile": 8, "requests": 2000}
    alone = simulate(1, clients=1, **times)
    assert alone.percentile(95) == pytest.approx(0.23)
    assert alone.throughput == pytest.approx(1 / 0.23, rel=0.01)
    for replicas in (1, 2):
        full = simulate(replicas, clients=40 * replicas, **times)
        assert full.throughput == pytest.approx(replicas * 8 / 0.2, rel=0.05)
        assert full.busy > 0.95
    # Half of a tile's time until the next begins, then one's own.
    random = simulate(2, rate=40, **times)
    assert random.throughput == pytest.approx(40, rel=0.1)
    assert random.percentile(50) == pytest.approx(0.03 + 1.5 * 0.2, rel=0.1)
    assert random.percentile(95) == pytest.approx(0.03 + 2 * 0.2, rel=0.1)
