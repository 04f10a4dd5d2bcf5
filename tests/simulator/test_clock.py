"""The virtual clock follows the wall clock, stands still while paused, and the fake passes for the real one."""

from __future__ import annotations

import threading

from simulator.clock import FakeClock, VirtualClock, WallClock


def test_virtual_time_runs_at_its_speed_and_stands_still_while_paused() -> None:
    wall = FakeClock()
    virtual = VirtualClock(wall, 1000, 60.0)
    assert virtual.now() == 1000
    wall.wait(2.0, threading.Event())
    assert virtual.now() == 1000 + 120_000
    virtual.pause(True)
    virtual.pause(True)
    wall.wait(5.0, threading.Event())
    assert virtual.now() == 121_000
    virtual.pause(False)
    wall.wait(1.0, threading.Event())
    assert virtual.now() == 181_000


def test_the_real_clock_waits_no_longer_than_the_event() -> None:
    clock, event = WallClock(), threading.Event()
    event.set()
    before = clock.monotonic()
    clock.wait(30.0, event)
    assert clock.monotonic() - before < 5
    assert clock.now().utcoffset() is not None
