"""Worker processes on this machine, one thread each.

Two threads in one process are erratic on small networks; one thread in each of two processes is
steady (docs/benchmarks.md). Workers hold no file and end with the driver, even if it is killed:
each has one pipe, and a closed pipe is the end.
"""

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Generator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from unfooled.engine import Done, Event, Failed, Perform, Progress, WeightsOf
from unfooled.errors import UnfooledError
from unfooled.jobs import Job


def local(
    jobs: Sequence[Job], perform: Perform, weights_of: WeightsOf, *, workers: int
) -> Generator[Event, None, None]:
    """Every job, on as many processes as there are workers; see `engine.py`.

    A worker that dies takes its job with it, which then counts as failed; a new worker takes its
    place.
    """
    waiting, unfinished = list(jobs), {job.key for job in jobs}
    pool: dict[Connection, BaseProcess] = {}
    busy: dict[Connection, Job] = {}
    try:
        while waiting or busy:
            ready = [job for job in waiting if not unfinished & {one.key for one in job.needs}]
            idle = [pipe for pipe in pool if pipe not in busy]
            while ready and (idle or len(pool) < workers):
                pipe = idle.pop() if idle else _started(pool, perform)
                job = busy[pipe] = ready.pop(0)
                waiting.remove(job)
                weights = weights_of(job)
                with contextlib.suppress(OSError):  # a dead worker is heard of below
                    pipe.send((job, weights))
            heard = wait(list(busy))
            for pipe in [pipe for pipe in busy if pipe in heard]:
                event = _heard(pipe, busy[pipe])
                yield event
                if isinstance(event, Progress):
                    continue
                job = busy.pop(pipe)
                if pipe.closed:
                    _ended(pool.pop(pipe))
                if isinstance(event, Done):
                    unfinished.discard(job.key)
                    continue
                for other in [other for other in waiting if job in other.needs]:
                    waiting.remove(other)
                    yield Failed(other, "the training that it needs failed")
    finally:
        for process in pool.values():
            _ended(process)


def _started(pool: dict[Connection, BaseProcess], perform: Perform) -> Connection:
    """A new worker's pipe; the worker joins the pool."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, perform), daemon=True)
    process.start()
    theirs.close()
    pool[ours] = process
    return ours


def _ended(process: BaseProcess) -> None:
    process.kill()  # it holds no file, so there is nothing to put in order
    process.join()


def _heard(pipe: Connection, job: Job) -> Event:
    """What a worker says; a broken pipe is closed, though its process may not have ended yet."""
    try:
        kind, value, seconds = pipe.recv()
    except (EOFError, OSError):
        pipe.close()
        return Failed(job, "its worker process died; it may have run out of memory")
    if kind == "progress":
        return Progress(job, value)
    return Done(job, value, seconds) if kind == "done" else Failed(job, value)


def _serve(pipe: Connection, perform: Perform) -> None:
    """The life of a worker; Ctrl-C is the driver's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    try:
        while True:
            job, weights = pipe.recv()
            start = time.perf_counter()

            def report(share: float) -> None:
                pipe.send(("progress", share, 0.0))

            try:
                content = perform(job, weights, report)
            except UnfooledError as error:
                pipe.send(("failed", str(error), 0.0))
            except BrokenPipeError:
                raise
            except Exception as error:
                pipe.send(("failed", f"{type(error).__name__}: {error}", 0.0))
            else:
                pipe.send(("done", content, time.perf_counter() - start))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the driver is gone
