"""Signals: what is raised for them, and with which number."""

import os
import signal
import subprocess
import sys

import pytest

from bestiary.errors import Interrupted
from bestiary.signals import Interrupts


def wait_like_ray(number: signal.Signals) -> None:
    """Receive a signal as Ray's wait does, which raises a `KeyboardInterrupt` of its own for it."""
    try:
        os.kill(os.getpid(), number)
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_library_cannot_hide_the_number(number: signal.Signals) -> None:
    # A shell's background job starts with Ctrl-C ignored, and Interrupts leaves it so.
    former = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(Interrupted) as raised, Interrupts():
            wait_like_ray(number)
        assert raised.value.number == number
        assert signal.getsignal(number) == signal.default_int_handler
    finally:
        signal.signal(number, former)


def test_an_interrupt_without_a_signal_stays_as_it_is() -> None:
    with pytest.raises(KeyboardInterrupt) as raised, Interrupts():
        raise KeyboardInterrupt
    assert not isinstance(raised.value, Interrupted)


LOST = """
import os, signal, sys, time
from bestiary.errors import Interrupted
from bestiary.signals import raise_interrupted

class Freed:
    def __del__(self):
        os.kill(os.getpid(), number)

number = int(sys.argv[1])
# Whoever runs the tests may ignore some, as nohup does.
signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
raise_interrupted()
freed = Freed()
try:
    del freed
    time.sleep(60)
except KeyboardInterrupt as stop:
    print(getattr(stop, "number", int(signal.SIGINT)))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal to send itself")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", 1)])
def test_a_signal_that_python_ignores_comes_again(number: int) -> None:
    """What is raised while an object is freed, or in a hook of a fork, reaches nobody."""
    command = [sys.executable, "-c", LOST, str(int(number))]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == (f"{int(number)}\n", "")
