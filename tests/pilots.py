"""Pilots that lose their cluster, for the tests of what the driver then does; no Ray, no torch."""

from multiprocessing.connection import Connection
from pathlib import Path

from unfooled.hand import Parcel
from unfooled.pilot import Terms


def leave(pipe: Connection, parcel: Parcel, terms: Terms) -> None:
    """Does one job and goes with the next; another one finds no cluster. The address is a file."""
    met = Path(terms.address)
    if met.exists():
        pipe.send(("unable", "", "nobody answers", 0.0))
        return
    met.touch()
    for word in ("reached", "idle"):
        pipe.send((word, "", None, 0.0))
    _, key, _, _ = pipe.recv()
    pipe.send(("done", key, b"content", 1.0))
    pipe.send(("idle", "", None, 0.0))
    pipe.recv()


def despair(pipe: Connection, parcel: Parcel, terms: Terms) -> None:
    """Finds no place for a worker; the address says whether there was one before."""
    for word in ("reached", *["idle"] * (terms.address == "once")):
        pipe.send((word, "", None, 0.0))
    pipe.send(("useless", "", "no worker can be started: too old", 0.0))


def fall(pipe: Connection, parcel: Parcel, terms: Terms) -> None:
    """Reaches its cluster, takes a job and goes, again and again."""
    for word in ("reached", "idle"):
        pipe.send((word, "", None, 0.0))
    pipe.recv()
