"""Standard streams that outlast their readers, so that work goes on when a terminal is gone.

A pipe that nobody reads any more (`| head -1`), a closed window or a full disk behind `>` must not
end hours of work in the middle. What cannot be written is dropped, and the exit code tells.
"""

import io
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from unfooled.terminal import err

BROKEN_PIPE = 128 + signal.SIGPIPE if hasattr(signal, "SIGPIPE") else 1  # as a shell has it


class _Lasting(io.RawIOBase):
    """A stream of bytes that drops what it is told after the first error, which it keeps."""

    def __init__(self, stream: io.RawIOBase) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, data: "memoryview") -> int:  # type: ignore[override]
        while self.error is None:
            try:
                written = self._stream.write(data)
            except OSError as error:
                self.error = error
                break
            if written is not None:
                return written
            select.select([], [self._stream], [])  # a terminal that another program set not to wait
        return len(data)


@contextmanager
def lasting() -> Iterator[None]:
    """Inside it, no stream can fail; only a command that ends well tells that its output was lost.

    Raises:
        SystemExit: with 141 if the output's reader had gone, with 1 if it could not be written.
    """
    _open_all()
    before, streams = (sys.stdout, sys.stderr), (_wrapped(sys.stdout), _wrapped(sys.stderr))
    out = streams[0]
    try:
        sys.stdout, sys.stderr = streams
        yield
    except SystemExit as ended:
        _flush()
        error = _error(out)
        if ended.code or error is None:
            raise
        if isinstance(error, BrokenPipeError):
            sys.exit(BROKEN_PIPE)
        said = f"unfooled: the output could not be written: {error.strerror}"
        err.print(said, markup=False, soft_wrap=True)
        sys.exit(1)
    finally:
        _flush()
        sys.stdout, sys.stderr = before


def _open_all() -> None:
    """A standard stream that was closed is /dev/null: else the next file would take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken, which is this one; workers get it too.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003


def _wrapped(stream: Any) -> Any:
    """A standard stream that lasts; what a test or a notebook put in its place stays."""
    raw = _raw(stream)
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(raw, io.RawIOBase):
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Lasting(raw)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _raw(stream: Any) -> object:
    buffer = getattr(stream, "buffer", None)
    return getattr(buffer, "raw", buffer)  # with PYTHONUNBUFFERED there is nothing between


def _error(stream: Any) -> OSError | None:
    raw = _raw(stream)
    return raw.error if isinstance(raw, _Lasting) else None


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
