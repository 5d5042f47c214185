import os

import pytest

from onebound.machine import cores, machine


def test_a_machine_says_what_it_is():
    told = machine()
    assert told.keys() == {"processor", "cores", "gigabytes", "system"}
    assert told["cores"] == cores() >= 1
    assert told["processor"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux tells a process its cores")
def test_cores_are_those_that_this_process_may_use():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_where_the_system_does_not_tell_there_are_those_of_the_machine(monkeypatch):
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert cores() == 6
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert cores() == 1
