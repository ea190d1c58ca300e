"""Turns of clients, and of the requests of each."""

from server.fair_queue import FairQueue


def test_clients_take_turns_and_so_do_their_requests():
    queue: FairQueue[str] = FairQueue()
    queue.add("heavy", ["a1", "a2", "a3"])
    queue.add("heavy", ["b1", "b2"])
    assert queue.take() == "a1"
    queue.add("light", ["c1"])
    assert (len(queue), queue.count("heavy"), queue.count("light")) == (5, 4, 1)
    assert queue.ahead("c1") <= 1 and queue.ahead("a3") == 4 and queue.ahead("z") == 0
    assert [queue.take() for _ in range(5)] == ["b1", "c1", "a2", "b2", "a3"]
    assert len(queue) == 0


def test_what_is_withdrawn_is_never_taken():
    queue: FairQueue[int] = FairQueue()
    queue.add("a", range(5))
    queue.add("b", range(10, 13))
    assert queue.withdraw(lambda item: item % 2 == 0 or item > 9) == [
        0,
        2,
        4,
        10,
        11,
        12,
    ]
    assert [queue.take(), queue.take(), len(queue)] == [1, 3, 0]
