"""Run the training command, and send itself a signal at a chosen moment.

    python tests/helpers/kill_driver.py PHASE SIGNAL -- <arguments of pokejax.train>

PHASE is compile, step, eval or save. The signal is a real one; only its moment is
arranged, by wrapping the function that the phase is made of.
"""

import os
import signal
import sys
import threading
from typing import Any

from pokejax import train
from pokejax.training.saving import Checkpoints
from pokejax.training.trainer import Trainer

WRAPPED = ((Trainer, "__init__"), (Trainer, "evaluate"), (Checkpoints, "save"))


def arrange(phase: str, number: int) -> None:
    """Wrap what belongs to the phase, so that the signal comes in the middle of it."""

    def strike() -> None:
        os.kill(os.getpid(), number)

    if phase == "eval":
        evaluate = Trainer.evaluate

        def struck_evaluate(self: Trainer, name: str, *, most: int = 0) -> Any:
            Trainer.evaluate = evaluate
            strike()
            return evaluate(self, name, most=most)

        Trainer.evaluate = struck_evaluate
    elif phase == "save":
        save = Checkpoints.save

        def struck_save(self: Checkpoints, *args: Any, **options: Any) -> None:
            save(self, *args, **options)
            if args[0] == 8:  # the second epoch's: there is one to fall back on
                Checkpoints.save = save
                strike()  # the writing goes on in the background

        Checkpoints.save = struck_save
    else:
        build = Trainer.__init__

        def struck_build(self: Trainer, *args: Any, **options: Any) -> None:
            build(self, *args, **options)
            train_steps, calls = self.train_steps, 0

            def struck_train_steps(*inputs: Any) -> Any:
                nonlocal calls
                calls += 1
                if phase == "compile" and calls == 1:
                    threading.Timer(0.05, strike).start()
                if phase == "step" and calls == 6:
                    strike()
                return train_steps(*inputs)

            self.train_steps = struck_train_steps

        Trainer.__init__ = struck_build


if __name__ == "__main__":
    _, phase, name, _, *argv = sys.argv
    arrange(phase, getattr(signal, name))
    sys.exit(train.main(argv))
