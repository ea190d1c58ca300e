"""A wish to stop, from the keyboard or the scheduler, that a loop asks about."""

import signal
import sys
from types import FrameType, TracebackType


class StopRequest:
    """While entered, the first SIGINT or SIGTERM only leaves a note.

    A second one does what it would have done, for those who can't wait.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def __call__(self) -> bool:
        """Whether somebody wants an end."""
        return self.signal is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()
        name = signal.Signals(number).name
        print(f"\n{name}: saving after the step in hand…", file=sys.stderr, flush=True)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        self._before = {}
