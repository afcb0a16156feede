"""Forked processes that do jobs for this one and answer: they do not share Python's lock with it.

A fork inherits what a job works on, so nothing is pickled but what goes wrong. A job and its answer
are short messages; what a job makes lies in memory that is shared. One process, the foreman, is
forked from this one and forks the others, which costs this one a single fork. The processes end
when this one does, however it ends. They must not compute with threads, which a fork does not copy;
see `bestiary.model.forks`. Knows nothing of images.
"""

import gc
import os
import pickle
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, Self

from bestiary.data.workers import STALL_SECONDS, limit_openmp, stalled_error
from bestiary.details import detail
from bestiary.errors import BestiaryError, DataError
from bestiary.model.forks import fork
from bestiary.signals import SIGNALS

START_SECONDS = 30.0  # until the first answer; a process that a lock of its parent's stops has none
MAX_MESSAGE = 1 << 16
MAX_WAITING = 96  # jobs and answers on their way: a socket takes more than twice as many

_DONE, _FAILED, _DIED = b"+", b"!", b"x"
_broken: list[str] = []  # why this process starts no team any more
_ending: list[int] = []  # foremen whose team has no more jobs


class NoAnswerError(Exception):
    """A team has not begun to work: its jobs are to be done by threads."""


def can_fork() -> bool:
    """Return whether teams work on this system, and none has failed in this process.

    Elsewhere than on Linux, libraries of the system itself may hang in a forked process.
    """
    return sys.platform == "linux" and not _broken


class ForkedTeam:
    """Processes that do one job after the other, until the ``with`` block ends.

    Args:
        size: number of processes.
        work: a job's message -> the answer, both of at most `MAX_MESSAGE` bytes less one. Called in
            the processes, with what they have inherited.

    Raises:
        NoAnswerError: the system forks no process.
    """

    def __init__(self, size: int, work: Callable[[bytes], bytes]) -> None:
        self._size = size
        self._work = work
        self._foreman = 0
        self._waiting = 0
        self._has_answered = False

    def __enter__(self) -> Self:
        _reap()
        # Messages keep their bounds, and any process takes the next one without a lock.
        self._jobs, jobs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._answers, answers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with jobs, answers:
            try:
                self._foreman = fork()
            except OSError as error:
                self._jobs.close()
                self._answers.close()
                self._give_up(f"fork: {error.strerror}")
            if self._foreman == 0:
                _lead(self._size, self._work, jobs, answers, (self._jobs, self._answers))
        return self

    def __exit__(self, *_error: object) -> None:
        # Without jobs to come, the processes end. They are not waited for: that many take as long
        # to give their memory back as some steps of the network.
        self._jobs.close()
        self._answers.close()
        if self._foreman:
            _ending.append(self._foreman)
        _reap()

    @property
    def is_full(self) -> bool:
        """Whether an answer has to be received before the next job."""
        return self._waiting >= MAX_WAITING

    def submit(self, job: bytes) -> None:
        """Give a job to the next process that is free; not while the team `is_full`."""
        with suppress(BrokenPipeError):  # `receive` says why
            self._jobs.send(job)
        self._waiting += 1

    def receive(self) -> bytes:
        """Wait for the answer to any job.

        Returns:
            The answer; an exception of the job is raised here.

        Raises:
            NoAnswerError: there has been no answer at all within `START_SECONDS`.
            DataError: a process has died, or there is no answer within `STALL_SECONDS`.
        """
        message = self._next_message()
        kind, content = message[:1], message[1:]
        if kind == _FAILED:
            raise pickle.loads(content)
        if kind == _DIED:
            self._raise_died(content.decode())
        self._has_answered = True
        self._waiting -= 1
        return content

    def _next_message(self) -> bytes:
        seconds = STALL_SECONDS if self._has_answered else START_SECONDS
        waiting = select.poll()  # select() takes no descriptor above 1023
        waiting.register(self._answers, select.POLLIN)
        if waiting.poll(1000 * seconds):
            return self._answers.recv(MAX_MESSAGE) or _DIED + b"the first of them has ended"
        if not self._has_answered:
            self._give_up(f"no answer within {START_SECONDS:.0f} s")
        raise stalled_error()

    def _raise_died(self, reason: str) -> NoReturn:
        if not self._has_answered:
            self._give_up(reason)
        raise DataError(
            f"a process that read images has died ({reason}): memory may be short, see the "
            "system's log; close other programs, then continue with --resume"
        )

    def _give_up(self, reason: str) -> NoReturn:
        _broken.append(reason)
        detail(f"images are read by threads, since forked processes do not work here: {reason}")
        raise NoAnswerError(reason)


def _reap() -> None:
    """Let the system forget the foremen that have ended."""
    for foreman in list(_ending):
        try:
            has_ended = os.waitpid(foreman, os.WNOHANG)[0] != 0
        except ChildProcessError:  # who embeds this ignores SIGCHLD
            has_ended = True
        if has_ended:
            _ending.remove(foreman)


def _lead(
    size: int,
    work: Callable[[bytes], bytes],
    jobs: socket.socket,
    answers: socket.socket,
    others: tuple[socket.socket, ...],
) -> NoReturn:
    """Fork the processes, then report each that dies. This is the foreman, and never returns."""
    try:
        for number in SIGNALS:  # they end with their parent, which may still have to save its work
            signal.signal(number, signal.SIG_IGN)
        for other in others:
            other.close()  # or no process would see the other end close
        gc.freeze()  # a collection would write to, and so copy, all of the parent's memory
        limit_openmp()
        for _ in range(size):
            if os.fork() == 0:
                _serve(work, jobs, answers)
        jobs.close()
        with suppress(ChildProcessError):
            while True:
                _, status = os.wait()
                if status:
                    answers.send(_DIED + _reason(status).encode())
    finally:
        os._exit(0)  # without what the parent would do at its end


def _reason(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit status {code}" if code >= 0 else signal.Signals(-code).name


def _serve(work: Callable[[bytes], bytes], jobs: socket.socket, answers: socket.socket) -> NoReturn:
    """Do jobs until the other end closes."""
    status = 1
    try:
        while job := jobs.recv(MAX_MESSAGE):
            try:
                answer = _DONE + work(job)
            except BaseException as error:
                answer = _FAILED + _pickled(error)
            answers.send(answer)
        status = 0
    except OSError:  # the parent is gone
        status = 0
    finally:
        os._exit(status)


def _pickled(error: BaseException) -> bytes:
    """Pickle an exception as it is, or as one that says the same."""
    with suppress(Exception):
        content = pickle.dumps(error)
        pickle.loads(content)
        if len(content) < MAX_MESSAGE:
            return content
    kind: Any = type(error) if isinstance(error, BestiaryError) else RuntimeError
    with suppress(Exception):
        return pickle.dumps(kind(f"{error}"[: MAX_MESSAGE // 8]))
    return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"[: MAX_MESSAGE // 8]))
