"""Stop requests, from the keyboard or a scheduler, that a loop polls."""

import signal
import sys
from types import FrameType, TracebackType


class StopRequest:
    """While entered, the first SIGINT or SIGTERM is only noted.

    A second one has its usual effect.
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
        """Whether a signal has come."""
        return self.signal is not None

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        self._restore()
        name = signal.Signals(number).name
        print(f"\n{name}: saving after the current step…", file=sys.stderr, flush=True)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        self._before = {}
