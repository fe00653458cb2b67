"""The kernel's counters of this process and this thread on Linux; elsewhere only those of Python."""

import os
import resource
import sys
import threading
import time

# wall s, process CPU s, thread CPU s, then texts of the kernel: the thread's schedule, the thread's and the
# process's input and output. They are parsed only in `between`: most of a stage's
# overhead would otherwise be parsing unused numbers.
Moment = tuple[float, float, float, bytes, bytes, bytes]


_forks = 0


class _File:
    """A file of /proc that stays open: opening costs ten times as much as reading; reopened after forks."""

    def __init__(self, path: str, most: int = 256, flags: int = os.O_RDONLY):
        self._path, self._most, self._flags, self._descriptor, self._forks = path, most, flags, -1, -1

    def descriptor(self) -> int:
        if self._forks != _forks:
            self.close()
            self._descriptor, self._forks = os.open(self._path, self._flags), _forks
        return self._descriptor

    def read(self) -> bytes:
        try:
            return os.pread(self._descriptor if self._forks == _forks else self.descriptor(), self._most, 0)
        except OSError:  # not Linux, or not allowed here
            return b""

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    __del__ = close


class _Thread(threading.local):
    """Files of the current thread."""

    def __init__(self) -> None:
        self.schedule, self.io = _File("/proc/thread-self/schedstat"), _File("/proc/thread-self/io")


_mine = _Thread()
_status, _io = _File("/proc/self/status", 4096), _File("/proc/self/io")
_clear = _File("/proc/self/clear_refs", flags=os.O_WRONLY)
_clears = True
_inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # at most


def begin() -> Moment:
    """Counters at the begin of a stage; the clocks are read last."""
    schedule, thread, process = _mine.schedule.read(), _mine.io.read(), _io.read()
    return time.perf_counter(), time.process_time(), time.thread_time(), schedule, thread, process


def end() -> Moment:
    """Counters at the end of a stage, in reverse order."""
    thread_cpu, process_cpu, wall = time.thread_time(), time.process_time(), time.perf_counter()
    process, thread, schedule = _io.read(), _mine.io.read(), _mine.schedule.read()
    return wall, process_cpu, thread_cpu, schedule, thread, process


def between(first: Moment, last: Moment, *, thread_only: bool) -> dict[str, float]:
    """Seconds and bytes spent between two moments, by the whole process or by this thread only.

    Returns
    -------
    dict
        wall_s; cpu_s; io_wait_s, when nothing ran and the thread was not ready to run; bytes read and
        written by system calls, and on storage.
    """
    wall, thread_cpu = last[0] - first[0], last[2] - first[2]
    cpu = thread_cpu if thread_only else last[1] - first[1]
    # a thread that waits for computing threads of its own is not blocked
    worked = max(thread_cpu, min(cpu, wall))
    spent = {"wall_s": wall, "cpu_s": cpu, "io_wait_s": max(0.0, wall - worked - queued_s(first, last))}
    # reading these counters is itself counted as reading once it is done: subtract what was read after the
    # first and before the last
    before, after = (first[4], last[4]) if thread_only else (first[5], last[5])
    own = len(first[5]) + (len(first[4]) + len(last[5]) if thread_only else 0)
    if before and after:
        old, new = before.split(), after.split()
        # rchar, wchar, read_bytes, write_bytes, see proc(5)
        spent["read_bytes"] = float(int(new[1]) - int(old[1]) - own)
        for metric, at in (("written_bytes", 3), ("disk_read_bytes", 9), ("disk_written_bytes", 11)):
            if new[at] != old[at]:
                spent[metric] = float(int(new[at]) - int(old[at]))
    return spent


def queued_s(first: Moment, last: Moment) -> float:
    """Seconds in which this thread was ready to run and waited for a CPU (schedstats in the kernel's manual).

    At most the wall time minus its CPU time: it may also have waited between reading the two counters.
    """
    if not first[3] or not last[3]:
        return 0.0
    queued = (int(last[3].split()[1]) - int(first[3].split()[1])) / 1e9
    return max(0.0, min(queued, (last[0] - first[0]) - (last[2] - first[2])))


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def reset_peak() -> None:
    """Reset the high-water mark of resident memory, see proc(5); the cost is independent of memory in use."""
    global _clears
    if _clears:
        try:
            os.write(_clear.descriptor(), b"5")
        except OSError:
            _clears = False


def peak_mb() -> float:
    """Highest resident memory since `reset_peak`; where it cannot be reset, since the process began."""
    # getrusage costs an eighth of reading the file, but reports at least the memory of the parent process
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if highest <= _inherited and (status := _status.read()):
        at = status.index(b"VmHWM:") + 6
        highest = int(status[at : status.index(b"kB", at)])
    return highest / (1024**2 if sys.platform == "darwin" else 1024)


def _forked() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_forked)
