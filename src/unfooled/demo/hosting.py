"""Where the page is served, and which networks it shows: what `unfooled demo` puts together."""

import errno
import math
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import uvicorn

from unfooled.demo import homemade, opening, serving
from unfooled.demo.playing import Watch
from unfooled.demo.serving import Hall
from unfooled.engine import cores
from unfooled.errors import InvalidOption, UnfooledError, brief
from unfooled.run import chosen

_PORT, _TRIED = 8765, 50
_RUNS = Path("runs")
_CROWD = 200  # connections at once; more are sent away
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Door:
    """An open port.

    Attributes:
        listening: the socket.
        address: for a browser on this machine.
        names: by which others may call this machine.
        note: one sentence, if the port is another than the usual; else "".
    """

    listening: socket.socket = field(repr=False)
    address: str
    names: frozenset[str]
    note: str

    def open(self) -> None:
        """A browser at the address, where there is a screen to show one on."""
        screens = {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys()
        if sys.platform in ("darwin", "win32") or screens:
            threading.Thread(target=webbrowser.open, args=(self.address,), daemon=True).start()


@contextmanager
def door(host: str, port: int | None) -> Iterator[Door]:
    """A port at this address; without one the usual, or the next that is free. Closed afterwards.

    Raises:
        InvalidOption: there is no such address or port, or somebody else has it.
    """
    if port is not None and not 0 <= port <= 65535:
        raise InvalidOption(f"a port is a number from 0 (any) to 65535, not {port}")
    usual = range(_PORT, _PORT + _TRIED)
    with _first(host, usual if port is None else (port,)) as listening:
        taken = listening.getsockname()[1]
        note = f"port {_PORT} is in use, so it is {taken}"
        yield _door(listening, host, "" if port is not None or taken == _PORT else note)


def _first(host: str, ports: Sequence[int]) -> socket.socket:
    """A socket that listens at the first of these ports that is free."""
    for port in ports:
        try:
            return _listening(host, port)
        except PermissionError as error:
            raise InvalidOption(
                f"port {port} is not for everybody; choose one from 1024 up"
            ) from error
        except (socket.gaierror, UnicodeError, ValueError) as error:
            raise InvalidOption(f"{host} is no address of this machine: {brief(error)}") from error
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise InvalidOption(f"cannot listen at {host}: {error.strerror}") from error
    those = f"port {ports[0]} is" if len(ports) == 1 else f"ports {ports[0]} to {ports[-1]} are"
    raise InvalidOption(f"{those} in use; choose another by --port, or 0 for any")


def _listening(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    found = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # elsewhere it would let two programs have one port
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(where)
        found.listen(128)
    except OSError:
        found.close()
        raise
    return found


def _door(listening: socket.socket, host: str, note: str) -> Door:
    port = listening.getsockname()[1]
    names = {host.lower()}
    if host not in _LOOPBACK:
        own = socket.gethostname().lower()
        names |= {own, f"{own}.local"}
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    shown = f"[{shown}]" if ":" in shown else shown
    return Door(listening, f"http://{shown}:{port}", frozenset(names), note)


def hall(
    run: Path | None, *, data: Path | None, device: str, names: frozenset[str]
) -> tuple[Hall, str]:
    """The networks of this run, of the newest, or those still to be trained; and a word on which.

    Raises:
        UnfooledError: as `opening.of_run`, of a run that was named.
    """
    place = chosen(device)
    if run is not None:
        return Hall(opening.of_run(run, data=data, device=place), names=names), ""
    found = opening.newest(_RUNS)
    if found is None:
        return Hall(
            names=names
        ), "no run under runs/: showing a small study on scikit-learn's digits"
    try:
        game = opening.of_run(found, data=data, device=place)
    except UnfooledError as error:
        return Hall(
            names=names
        ), f"not {found}: {error}\nshowing a small study on the digits instead"
    return Hall(game, names=names), f"showing the newest run, {found}; name another to see that one"


def serve(
    hall: Hall,
    door: Door,
    *,
    device: str,
    opened: Callable[[], None],
    told: Callable[[float, str], None],
) -> None:
    """The page, until somebody ends it; networks that are still missing are trained meanwhile.

    Args:
        hall, door: what is shown, and where.
        device: where networks are trained.
        opened: called as soon as the page can be had.
        told: called with the share of the training that is done, and what is trained.
    """
    share_cores()
    if hall.game is None:
        hall.desk.submit(lambda watch: _train(hall, watch, chosen(device), told), math.inf)
    try:
        opened()
        server(hall).run(sockets=[door.listening])
    finally:
        hall.close()


def share_cores() -> None:
    """Half of the cores for the attacks, and half for the proofs, which go on meanwhile."""
    torch.set_num_threads(max(1, cores() // 2))


def server(hall: Hall) -> uvicorn.Server:
    """What answers on a socket, with bounds on how many may ask and how long an end may take."""
    config = uvicorn.Config(
        serving.app(hall),
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        limit_concurrency=_CROWD,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


def _train(hall: Hall, watch: Watch, device: str, told: Callable[[float, str], None]) -> None:
    def report(share: float, words: str) -> None:
        watch.check()
        hall.share, hall.words = share, words
        told(share, words)

    try:
        hall.game = homemade.homemade(report, device=device)
    except Exception as error:  # a page that waits for ever would say less
        hall.failed = f"the training failed: {brief(error)}"
