"""A queue that takes turns, so that who wants much doesn't delay who wants little.

Clients take turns, and so do the requests of one client: round robin, which is deficit
round robin for items that all cost the same. Whoever comes next waits for one item of
everybody else at most.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items of requests of clients; only `len` and `count` need no lock."""

    def __init__(self):
        # Whose turn it is comes first, in the dict and in each deque of requests.
        self._clients: dict[str, deque[deque[T]]] = {}
        self._counts: Counter[str] = Counter()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def count(self, client: str) -> int:
        """How many items of a client wait."""
        return self._counts[client]

    def add(self, client: str, items: Iterable[T]) -> None:
        """Add a request's items, one at least."""
        request = deque(items)
        self._clients.setdefault(client, deque()).append(request)
        self._change(client, len(request))

    def take(self) -> T:
        """The next item; there must be one."""
        client = next(iter(self._clients))
        requests = self._clients.pop(client)
        request = requests.popleft()
        item = request.popleft()
        if request:
            requests.append(request)
        if requests:
            self._clients[client] = requests
        self._change(client, -1)
        return item

    def withdraw(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take out, and return, all items that are unwanted."""
        gone: list[T] = []
        for client, requests in list(self._clients.items()):
            kept: deque[deque[T]] = deque()
            before = len(gone)
            for request in requests:
                gone += filter(unwanted, request)
                if left := deque(item for item in request if not unwanted(item)):
                    kept.append(left)
            if kept:
                self._clients[client] = kept
            else:
                del self._clients[client]
            self._change(client, before - len(gone))
        return gone

    def ahead(self, item: T) -> int:
        """About how many items are taken before `item`; 0 if it isn't here."""
        for client, requests in self._clients.items():
            for request in requests:
                if item in request:
                    turns = request.index(item)
                    own = turns + sum(
                        min(len(other), turns + 1)
                        for other in requests
                        if other is not request
                    )
                    return own + sum(
                        min(self.count(other), own + 1)
                        for other in self._clients
                        if other != client
                    )
        return 0

    def _change(self, client: str, items: int) -> None:
        self._size += items
        self._counts[client] += items
        if not self._counts[client]:
            del self._counts[client]
