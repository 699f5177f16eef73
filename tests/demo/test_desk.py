import threading
import time

import pytest

from unfooled.demo.desk import WAITING, Desk, Full
from unfooled.demo.playing import Watch
from unfooled.errors import JobFailed


def until_stopped(watch: Watch) -> None:
    while True:
        watch.check()
        time.sleep(0.001)


def test_questions_are_answered_in_their_order_one_at_a_time() -> None:
    desk, order = Desk(30.0), list[int]()
    futures = [desk.submit(lambda _, n=n: order.append(n))[1] for n in range(5)]
    for future in futures:
        future.result(10)
    assert order == list(range(5))
    desk.close()


def test_a_full_desk_sends_away_until_one_has_left() -> None:
    desk, held = Desk(30.0), threading.Event()
    futures = [desk.submit(lambda _: held.wait(10))[1] for _ in range(WAITING)]
    with pytest.raises(Full, match="ask again"):
        desk.submit(lambda _: None)
    futures[-1].cancel()  # its browser has gone
    futures.append(desk.submit(lambda _: None)[1])
    held.set()
    futures[-1].result(10)
    desk.close()


def test_what_takes_too_long_is_given_up() -> None:
    desk = Desk(0.01)
    _, future = desk.submit(until_stopped)
    with pytest.raises(JobFailed, match="too long"):
        future.result(10)
    _, patient = desk.submit(lambda watch: time.sleep(0.02) or watch.check(), 30.0)
    assert patient.result(10) is None
    desk.close()


def test_a_desk_that_closes_gives_up_what_is_under_way() -> None:
    desk = Desk(30.0)
    _, future = desk.submit(until_stopped)
    _, waiting = desk.submit(lambda _: None)
    desk.close()
    assert waiting.cancelled()
    assert "nobody waits" in str(future.exception())
