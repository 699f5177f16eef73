import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import played
import pytest

from unfooled.demo import serving
from unfooled.demo.desk import WAITING
from unfooled.demo.playing import Game
from unfooled.demo.serving import Hall, own_host


@contextmanager
def opened(hall: Hall) -> Iterator[httpx.Client]:
    many = httpx.Limits(max_connections=60)
    with (
        played.served(hall) as address,
        httpx.Client(base_url=address, timeout=60, limits=many, trust_env=False) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def hall(game: Game) -> Hall:
    return Hall(game)


@pytest.fixture(scope="module")
def client(hall: Hall) -> Iterator[httpx.Client]:
    with opened(hall) as client:
        yield client


@pytest.fixture
def question(game: Game) -> dict[str, Any]:
    asked = played.asked(game)
    image = asked.image.flatten().tolist()
    how = {"attack": "fgsm", "eps": 0.1, "target": None, "painted": None}
    return {"image": image, "label": asked.label, **how}


def search(question: dict[str, Any]) -> dict[str, Any]:
    return {key: question[key] for key in ("image", "label", "attack", "target")}


def results(text: str) -> list[dict[str, Any]]:
    return json.loads(text.splitlines()[-1])["results"]


def test_the_page_may_load_its_own_script_and_nothing_else(client: httpx.Client) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert policy.count("'sha256-") == 3  # two scripts and a style
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.findall(r"(?:src|href)=.?(?:https?:)?//", answer.text)
    assert not re.findall(r"\sstyle=|\son\w+=", answer.text)
    assert client.get("/favicon.ico").status_code == 204


def test_the_page_asks_and_is_answered(client: httpx.Client, question: dict[str, Any]) -> None:
    assert client.get("/api/about").json()["samples"] == 500
    assert client.get(f"/api/sample/{played.PLACE}").json()["image"] == question["image"]
    crafted = client.post("/api/craft", json=question)
    assert crafted.headers["content-type"].startswith("application/x-ndjson")
    assert [one["name"] for one in results(crafted.text)] == ["plain", "blurred"]
    asked = {key: question[key] for key in ("image", "label")}
    for name, body in (("smallest", search(question)), ("certified", asked)):
        found = client.post(f"/api/{name}", json=body)
        assert found.status_code == 200
        assert [one["name"] for one in results(found.text)] == ["plain", "blurred"]


def test_queries_are_told_while_they_are_counted(
    game: Game, question: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_LOOK", 0.001)
    with opened(Hall(game)) as client:
        answer = client.post("/api/craft", json={**question, "attack": "square", "eps": 0.001})
    *told, last = map(json.loads, answer.text.splitlines())
    counts = [one["queries"] for one in told if one["name"] == "plain"]
    assert counts
    assert counts == sorted(counts)
    assert counts[-1] <= last["results"][0]["queries"] == 500


NUMBERS = "an image has 784 numbers"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image": [0.5] * 783}, NUMBERS),
        ({"image": [0.5] * 785}, NUMBERS),
        ({"image": []}, NUMBERS),
        ({"image": [1.5] * 784}, "less than or equal to 1"),
        ({"image": [-0.1] * 784}, "greater than or equal to 0"),
        ({"image": ["0.5"] * 784}, "valid number"),
        ({"image": [True] * 784}, "valid number"),
        ({"image": [[0.5] * 28] * 28}, "valid number"),
        ({"image": None}, "valid array"),
        ({"label": 10}, "below 10"),
        ({"label": -1}, "greater than or equal to 0"),
        ({"label": 1.5}, "valid integer"),
        ({"label": True}, "valid integer"),
        ({"target": 12}, "below 10"),
        ({"attack": "autoattack"}, "fgsm, pgd, square"),
        ({"attack": "mine.py:attack"}, "fgsm, pgd, square"),
        ({"attack": 5}, "valid string"),
        ({"eps": 0.21}, "at most 0.2"),
        ({"eps": -0.1}, "greater than or equal to 0"),
        ({"eps": None}, "valid number"),
        ({"painted": [2.0] * 784}, "less than or equal to 1"),
        ({"painted": [0.0] * 5}, NUMBERS),
        ({"more": 1}, "more"),
    ],
)
def test_what_is_no_question_is_refused_in_a_sentence(
    client: httpx.Client, question: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    answer = client.post("/api/craft", json={**question, **changes})
    assert answer.status_code == 422
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize("missing", ["image", "label", "attack", "eps", "target", "painted"])
def test_every_key_must_be_there(
    client: httpx.Client, question: dict[str, Any], missing: str
) -> None:
    del question[missing]
    answer = client.post("/api/craft", json=question)
    assert answer.status_code == 422
    assert missing in answer.json()["error"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 5000])
@pytest.mark.parametrize("key", ["image", "eps", "painted", "label"])
def test_no_number_and_infinity_are_refused(
    client: httpx.Client, question: dict[str, Any], number: str, key: str
) -> None:
    many = key in ("image", "painted")
    question[key] = ["HERE", *[0.5] * 783] if many else "HERE"
    body = json.dumps(question).replace('"HERE"', number)
    answer = client.post("/api/craft", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert len(answer.content) < 500


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 20_000, b'{"a":' * 5_000]
)
def test_what_is_no_json_is_refused(client: httpx.Client, body: bytes) -> None:
    for name in ("craft", "smallest", "certified"):
        answer = client.post(
            f"/api/{name}", content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 422


def test_a_large_body_is_not_read_to_its_end(client: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        yield from (b" " * 10_000 for _ in range(300))

    headers = {"content-type": "application/json"}
    assert client.post("/api/craft", content=b" " * 3_000_000, headers=headers).status_code == 413
    assert client.post("/api/craft", content=parts(), headers=headers).status_code == 413


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_a_plain_form_can_send_is_refused(client: httpx.Client, kind: str) -> None:
    answer = client.post("/api/craft", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:8765", True),
        ("localhost", True),
        ("LOCALHOST:80", True),
        ("[::1]:8765", True),
        ("192.168.0.7:8765", True),
        ("mybox:8765", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example:8765", False),
        ("evil.example:8765@127.0.0.1", False),
        ("127.0.0.1:8765:1", False),
        ("127.0.0.1:port", False),
        ("[evil]", False),
        ("", False),
    ],
)
def test_only_addresses_and_known_names_are_our_host(host: str, ours: bool) -> None:
    assert own_host(host, frozenset({"mybox"})) is ours


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example:8765"},
        {"origin": "http://evil.example"},
        {"origin": "https://127.0.0.1:8765"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ],
)
@pytest.mark.parametrize("path", ["/", "/api/about", "/api/craft"])
def test_another_page_gets_nothing(
    client: httpx.Client, headers: dict[str, str], path: str
) -> None:
    answer = client.request("POST" if "craft" in path else "GET", path, headers=headers)
    assert answer.status_code == 403
    assert "answers" in answer.json()["error"]


def test_a_link_from_elsewhere_may_lead_to_the_page(client: httpx.Client) -> None:
    followed = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=followed).status_code == 200
    assert client.post("/api/craft", json={}, headers=followed).status_code == 403


def test_our_own_origin_is_let_in(client: httpx.Client, question: dict[str, Any]) -> None:
    answer = client.post(
        "/api/craft", json=question, headers={"origin": str(client.base_url).rstrip("/")}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/sample/500", 404),
        ("GET", "/api/sample/-1", 404),
        ("GET", "/api/sample/99999999999999999999999999", 404),
        ("GET", f"/api/sample/{'9' * 5000}", 404),
        ("GET", "/api/sample/x", 404),
        ("GET", "/api/sample/../../etc/passwd", 404),
        ("GET", "/page.html", 404),
        ("GET", "/api/craft", 405),
        ("OPTIONS", "/api/craft", 405),
        ("DELETE", "/", 405),
    ],
)
def test_there_is_nothing_else(client: httpx.Client, method: str, path: str, status: int) -> None:
    assert client.request(method, path).status_code == status


def test_fifty_at_once_are_answered_or_sent_away(
    hall: Hall, client: httpx.Client, question: dict[str, Any]
) -> None:
    held, refused, most = threading.Event(), list[int](), 50 - (WAITING - 1)
    hall.desk.submit(lambda _: held.wait(60))

    def ask(_: int) -> httpx.Response:
        answer = client.post("/api/craft", json=question)
        refused.extend([1] * (answer.status_code == 503))
        if len(refused) == most:
            held.set()
        return answer

    with ThreadPoolExecutor(50) as crowd:
        answers = list(crowd.map(ask, range(50)))
    codes = [one.status_code for one in answers]
    assert (codes.count(200), codes.count(503)) == (WAITING - 1, most)
    for one in answers:
        if one.status_code == 503:
            assert one.headers["retry-after"] == "1"
        else:
            assert len(results(one.text)) == 2
    assert client.post("/api/craft", json=question).status_code == 200


def test_while_networks_are_trained_the_page_is_told_how_far() -> None:
    hall = Hall(share=0.4, words="Noise")
    with opened(hall) as client:
        answer = client.get("/api/about")
        assert (answer.status_code, answer.json()) == (202, {"share": 0.4, "words": "Noise"})
        assert client.get("/api/sample/1").status_code == 503
        hall.failed = "the training failed"
        assert client.get("/api/about").json() == {"error": "the training failed"}


def test_an_attack_that_fails_says_so(
    client: httpx.Client, question: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from unfooled.errors import InvalidModel

    def fail(*_: object) -> None:
        raise InvalidModel("the gradient is NaN")

    monkeypatch.setattr("unfooled.demo.playing._crafted", fail)
    monkeypatch.setattr("unfooled.demo.playing._smallest", fail)
    for name, body in (("craft", question), ("smallest", search(question))):
        answer = client.post(f"/api/{name}", json=body)
        assert json.loads(answer.text) == {"error": "the gradient is NaN"}


def test_a_network_that_raises_says_so_in_a_line(
    client: httpx.Client, question: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("out of memory\nat length")

    monkeypatch.setattr("unfooled.demo.playing._crafted", fail)
    answer = client.post("/api/craft", json=question)
    assert json.loads(answer.text) == {"error": "no answer was found: out of memory"}
