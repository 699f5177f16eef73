"""The page and its answers over HTTP: for this machine's own browser, and for nobody else's page.

A page from elsewhere can make a browser send requests here, under a name of its own that leads to
this machine (DNS rebinding) or across origins. So the `Host` must be an address or a name that was
asked for, an `Origin` must be our own, and questions come as JSON, which no plain form can send.
"""

import asyncio
import base64
import hashlib
import ipaddress
import json
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from unfooled.demo import playing, wire
from unfooled.demo.desk import Desk, Full
from unfooled.demo.playing import Asked, Game, Watch
from unfooled.errors import InvalidInput, UnfooledError, brief

PAGE = Path(__file__).with_name("page.html")
Found = list[dict[str, Any]]
_ATTACK, _PROOF = 30.0, 120.0  # seconds that a question may take
_LOOK = 0.1  # seconds between two looks at how far an attack has got
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass
class Hall:
    """What the server shows.

    Attributes:
        game: None while its networks are still trained.
        share, words: of the training that is done, and what is trained.
        failed: why there is nothing to show; "" if all is well.
        names: hosts that a browser may ask for, besides addresses and localhost.
        desk: that answers.
        proofs: that answers what is certified, which takes seconds; an attack must not wait for it.
    """

    game: Game | None = None
    share: float = 0.0
    words: str = "starting"
    failed: str = ""
    names: frozenset[str] = frozenset()
    desk: Desk = field(default_factory=partial(Desk, _ATTACK))
    proofs: Desk = field(default_factory=partial(Desk, _PROOF))

    def close(self) -> None:
        """Nothing is answered any more."""
        self.desk.close()
        self.proofs.close()


class Refused(Exception):
    """A request that gets no answer but a status and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence


def app(hall: Hall) -> ASGIApp:
    """The page at /, and what it asks at /api/."""
    routes = [
        Route("/", _page),
        Route("/favicon.ico", _nothing),
        Route("/api/about", partial(_about, hall=hall)),
        Route("/api/sample/{place}", partial(_sample, hall=hall)),
        *(
            Route(
                f"/api/{name}", partial(_ask, hall=hall, read=read, do=do, at=at), methods=["POST"]
            )
            for name, read, do, at in (
                ("craft", wire.craft, playing.craft, hall.desk),
                ("smallest", wire.smallest, playing.smallest, hall.desk),
                ("certified", wire.certified, playing.certified, hall.proofs),
            )
        ),
    ]
    handlers = {Refused: _refused, UnfooledError: _mistake, ClientDisconnect: _gone}
    return _Guard(Starlette(routes=routes, exception_handlers=handlers), hall.names)  # type: ignore[arg-type]


class _Guard:
    """Lets only requests of our own page pass, and puts our headers on every answer."""

    def __init__(self, inner: ASGIApp, names: frozenset[str]) -> None:
        self.inner, self.names = inner, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.inner(scope, receive, send)
        if reason := self._foreign(scope):
            answer = JSONResponse({"error": reason}, 403, headers=_HEADERS)
            return await answer(scope, receive, send)

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = [(k.lower().encode(), v.encode()) for k, v in _HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        return await self.inner(scope, receive, with_headers)

    def _foreign(self, scope: Scope) -> str:
        """Why this request is not our page's; "" if it is."""
        given = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]]
        hosts = [value for key, value in given if key == "host"]
        if len(hosts) != 1 or not own_host(hosts[0], self.names):
            return "this page answers under its own address only"
        for origin in (value for key, value in given if key == "origin"):
            if origin != f"http://{hosts[0]}":
                return "this page answers to its own scripts only"
        about = dict(given)
        # A link from elsewhere may lead here, which shows the page and tells nobody anything.
        followed = about.get("sec-fetch-mode") == "navigate" and scope["method"] == "GET"
        if about.get("sec-fetch-site") == "cross-site" and not followed:
            return "this page answers to its own scripts only"
        return ""


def own_host(host: str, names: frozenset[str]) -> bool:
    """Whether a `Host` header is an address, localhost, or one of these names; any port.

    A name of somebody else's that leads here is what DNS rebinding is made of; an address is not.
    """
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(:\d{1,5})?", host)
    if found is None:
        return False
    name = found[1].strip("[]").lower()
    if name == "localhost" or name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


@cache
def page() -> tuple[str, str]:
    """The page, and the policy under which a browser shows it: its own script and style alone."""
    text = PAGE.read_text(encoding="utf-8")
    hashes = {
        kind: " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()}'"
            for block in re.findall(rf"<{kind}\b[^>]*>(.*?)</{kind}>", text, re.DOTALL)
        )
        for kind in ("script", "style")
    }
    policy = (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return text, policy


async def _page(_: Request) -> Response:
    text, policy = page()
    return HTMLResponse(text, headers={"Content-Security-Policy": policy})


async def _nothing(_: Request) -> Response:
    return Response(status_code=204)


def _ready(hall: Hall) -> Game:
    if hall.game is None:
        raise Refused(503, hall.failed or "the networks are still being trained")
    return hall.game


async def _about(_: Request, hall: Hall) -> Response:
    if hall.game is None and not hall.failed:
        return JSONResponse({"share": hall.share, "words": hall.words}, 202)
    return JSONResponse(playing.about(_ready(hall)))


async def _sample(request: Request, hall: Hall) -> Response:
    game, place = _ready(hall), request.path_params["place"]
    # As text, since a number of thousands of digits cannot even be read.
    if not re.fullmatch("[0-9]{1,9}", place) or int(place) >= len(game.data.test):
        raise Refused(404, f"there are {len(game.data.test)} test images, numbered from 0")
    return JSONResponse(playing.sample(game, int(place)))


async def _ask(
    request: Request,
    hall: Hall,
    read: Callable[[bytes, Game], Asked],
    do: Callable[[Game, Asked, Watch], Found],
    at: Desk,
) -> Response:
    """Lines of JSON: how far it has got, as often as that changes, and at last what was found."""
    game = _ready(hall)
    asked = read(await _body(request, wire.room(game)), game)
    watch, future = at.submit(partial(do, game, asked))
    return StreamingResponse(_lines(watch, future), media_type="application/x-ndjson")


async def _lines(watch: Watch, future: Future[Found]) -> AsyncIterator[str]:
    wrapped, told = asyncio.wrap_future(future), 0
    try:
        while not (await asyncio.wait({wrapped}, timeout=_LOOK))[0]:
            for one in watch.found[told:]:
                told += 1
                yield json.dumps({"found": one}) + "\n"
            if watch.passes is not None:
                queries = int(watch.passes.forward.sum())
                yield json.dumps({"name": watch.name, "queries": queries}) + "\n"
        try:
            yield json.dumps({"results": wrapped.result()}) + "\n"
        except UnfooledError as error:
            yield json.dumps({"error": str(error)}) + "\n"
        except Exception as error:  # whatever a user's network raises
            yield json.dumps({"error": f"no answer was found: {brief(error)}"}) + "\n"
    finally:  # also where the browser has gone
        watch.stopped = True
        wrapped.cancel()


async def _body(request: Request, room: int) -> bytes:
    """The whole body, of which no more than there is room for is ever held."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise Refused(415, "questions come as application/json")
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > room:
            raise Refused(413, f"a question has at most {room:,} bytes")
    return bytes(content)


def _refused(_: Request, error: Refused) -> Response:
    return JSONResponse({"error": error.sentence}, error.status)


def _mistake(_: Request, error: UnfooledError) -> Response:
    if isinstance(error, Full):
        return JSONResponse({"error": str(error)}, 503, headers={"Retry-After": "1"})
    status = 422 if isinstance(error, InvalidInput) else 500
    return JSONResponse({"error": str(error)}, status)


def _gone(_: Request, __: ClientDisconnect) -> Response:
    return Response(status_code=400)
