"""The exported page in a real browser, from a plain file server."""

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import played
import pytest
import torch
import torch.nn.functional as F

from unfooled import attack, model
from unfooled.demo import playing, runtime, site
from unfooled.demo.playing import Game, Player, Watch
from unfooled.errors import DataMissing
from unfooled.randomness import Draws
from unfooled.threat import Threat

sync_api = pytest.importorskip("playwright.sync_api")

NEAR = 1e-4
PATIENT = 60_000  # milliseconds, for a machine with much else to do
# What the graphs answer, asked past the engine.
ANSWERS = """async ([graph, gradient, weights, image, label, shape]) => {
  const ort = await import("/runtime/ort.wasm.bundle.min.mjs");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = { wasm: "/runtime/ort-wasm-simd-threaded.wasm" };
  const bytes = async (file) => new Uint8Array(await (await fetch(file)).arrayBuffer());
  const found = {};
  for (const [name, file] of [["plain", graph], ["both", gradient]]) {
    const data = { path: weights.split("/").pop(), data: await bytes(weights) };
    const session = await ort.InferenceSession.create(await bytes(file), { externalData: [data] });
    const given = { images: new ort.Tensor("float32", Float32Array.from(image), shape) };
    if (name === "both") given.labels = new ort.Tensor("int32", Int32Array.of(label), [1]);
    found[name] = {};
    for (const [output, { data }] of Object.entries(await session.run(given)))
      found[name][output] = Array.from(data);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def shown(game: Game) -> Game:
    """With a third network, whose layers convolve."""
    shape = {"channels": game.data.channels, "size": game.data.size, "classes": 10}
    network = model.build("lenet", **shape, seed=1).eval()
    player = Player("fresh", "Fresh", "", "as it was made", network)
    return replace(game, players=(*game.players, player))


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing on the screen."""


@pytest.fixture(scope="module")
def address(
    shown: Game, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Of the exported page."""
    home = tmp_path_factory.mktemp("exported")
    kept = pytestconfig.cache.mkdir("unfooled")  # type: ignore[union-attr]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("unfooled.idx.cache_folder", lambda: kept)
        try:
            files = runtime.files(None)
        except DataMissing as error:
            pytest.skip(f"no ONNX Runtime Web: {error}")
    site.write(shown, home / "site", files)
    handler = partial(Quiet, directory=str(home / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def page(chromium: Any, address: str) -> Iterator[Any]:
    """The page once its networks have answered; in the end nothing must have gone wrong."""
    wrong: list[str] = []
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(PATIENT)
    page.on("console", lambda one: one.type in ("error", "warning") and wrong.append(one.text))
    page.on("pageerror", lambda one: wrong.append(str(one)))
    page.on("request", lambda one: one.url.startswith(address) or wrong.append(one.url))
    page.goto(address)
    page.wait_for_selector("body[data-done]")
    yield page
    page.close()
    assert [one for one in wrong if not one.startswith(("data:", "blob:"))] == []


@pytest.fixture(scope="module")
def question(shown: Game) -> dict[str, Any]:
    asked = played.asked(shown)
    return {
        "image": asked.image.flatten().tolist(),
        "label": asked.label,
        "attack": "fgsm",
        "eps": 0.1,
        "target": None,
        "painted": None,
    }


def asked(page: Any, method: str, question: dict[str, Any]) -> list[dict[str, Any]]:
    """What the page's own engine answers; images as lists."""
    return page.evaluate(
        """async ([method, given]) => {
          const floats = (numbers) => numbers && Float32Array.from(numbers);
          const asked = { ...given, image: floats(given.image), painted: floats(given.painted) };
          const found = await window.unfooledEngine[method](asked, () => {});
          return found.map((one) => ({ ...one, image: one.image && Array.from(one.image) }));
        }""",
        [method, question],
    )


def falling(game: Game) -> int:
    """The place of a sample that FGSM at the largest eps makes the first network misread."""
    test, network = game.data.test, game.players[0].network
    images, labels = (one[test.sample(site.SAMPLES)] for one in (test.images / 255, test.labels))
    (found,) = attack.find("fgsm").sweep(
        network, images, labels, [Threat("Linf", game.eps_max)], draws=Draws(0)
    )
    fell = (network(images).argmax(1) == labels) & (network(found.images).argmax(1) != labels)
    return int(fell.nonzero()[0])


def test_the_reading_changes_with_eps(page: Any, shown: Game) -> None:
    page.locator("#place").fill(str(falling(shown)))
    page.locator("#place").blur()
    verdict = page.locator("#net-plain .verdict")
    page.locator("#eps").fill("0")
    sync_api.expect(verdict).to_have_text(re.compile("✓ reads"), timeout=PATIENT)
    page.locator("#eps").fill(str(shown.eps_max))
    sync_api.expect(verdict).to_have_text(re.compile("✗ reads .* fooled"), timeout=PATIENT)


def test_logits_and_gradient_are_torchs(page: Any, shown: Game) -> None:
    about = page.evaluate("fetch('site.json').then((answer) => answer.json())")
    asked = played.asked(shown)
    for player, files in zip(shown.players, about["networks"], strict=True):
        image = asked.image.clone().requires_grad_()
        logits = player.network(image)
        label = torch.tensor([asked.label])
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, label), image)
        names = [files[kind] for kind in ("graph", "gradient", "weights")]
        given = [asked.image.flatten().tolist(), asked.label, list(image.shape)]
        found = page.evaluate(ANSWERS, [*names, *given])
        for answer in (found["plain"]["logits"], found["both"]["logits"]):
            np.testing.assert_allclose(answer, logits.detach().numpy()[0], atol=NEAR)
        np.testing.assert_allclose(found["both"]["gradient"], gradient.numpy().ravel(), atol=NEAR)


@pytest.mark.parametrize("changes", [{}, {"label": None}, {"target": 7}, {"attack": None}])
def test_fgsm_is_the_servers(
    page: Any, shown: Game, question: dict[str, Any], changes: dict[str, Any]
) -> None:
    found = asked(page, "craft", {**question, **changes})
    given = {**changes, "attack": None} if "attack" in changes else changes
    right = playing.craft(shown, played.asked(shown, **given), Watch())
    for one, other in zip(found, right, strict=True):
        np.testing.assert_allclose(one["image"], other["image"], atol=NEAR)
        for key in ("probabilities", "clean_probabilities"):
            np.testing.assert_allclose(one[key], other[key], atol=NEAR)
        assert {k: one[k] for k in ("name", "read", "clean_read", "fooled", "queries")} == {
            k: other[k] for k in ("name", "read", "clean_read", "fooled", "queries")
        }


def test_what_is_painted_is_kept_inside_eps(
    page: Any, shown: Game, question: dict[str, Any]
) -> None:
    painted = torch.linspace(-1, 1, shown.pixels)
    found = asked(page, "craft", {**question, "painted": painted.tolist()})
    side = shown.data.size
    noise = painted.view(1, 1, side, side)
    right = playing.craft(shown, played.asked(shown, painted=noise, attack=None), Watch())
    for one, other in zip(found, right, strict=True):
        np.testing.assert_allclose(one["image"], other["image"], atol=1e-6)


def test_the_smallest_eps_of_fgsm_is_the_servers(
    page: Any, shown: Game, question: dict[str, Any]
) -> None:
    found = asked(page, "smallest", question)
    right = playing.smallest(shown, played.asked(shown), Watch())
    assert [one["name"] for one in found] == [one["name"] for one in right]
    for one, other in zip(found, right, strict=True):
        assert (one["eps"] is None) == (other["eps"] is None)
        assert one["eps"] == pytest.approx(other["eps"], abs=1e-6)


@pytest.mark.parametrize("name", ["pgd", "square"])
@pytest.mark.parametrize("target", [None, 3])
def test_the_other_attacks_fool_inside_eps_and_always_alike(
    page: Any, question: dict[str, Any], name: str, target: int | None
) -> None:
    given = {**question, "attack": name, "target": target, "eps": 0.3}
    found = asked(page, "craft", given)
    assert found == asked(page, "craft", given)
    clean = np.array(question["image"])
    for one in found:
        assert np.abs(np.array(one["image"]) - clean).max() <= 0.3 + 1e-6
    assert (found[0]["queries"] is not None) == (name == "square")
    assert found[0]["fooled"]
    assert target is None or found[0]["read"] == target


def test_what_is_no_number_never_stands(page: Any) -> None:
    told = page.evaluate(
        """async () => {
          const { fgsm, wanted } = await import("/attacks.mjs");
          const gradient = async () => ({ logits: [0, 1], gradient: Float32Array.of(NaN) });
          const goal = { label: 1, target: null };
          const broken = fgsm({ name: "broken", gradient }, Float32Array.of(0.5), goal, 0.1);
          return [wanted({ label: -1, target: null }, -1), await broken.catch(String)];
        }"""
    )
    assert told == [True, "Error: the input gradient of “broken” is NaN or infinite"]


def test_a_search_gives_way_to_a_move_of_the_slider(page: Any, question: dict[str, Any]) -> None:
    name = page.evaluate(
        """async (given) => {
          const asked = { ...given, image: Float32Array.from(given.image), attack: "square" };
          const search = window.unfooledEngine.smallest(asked).catch((error) => error.name);
          await window.unfooledEngine.craft({ ...asked, attack: "fgsm", eps: 0.01 });
          return search;
        }""",
        question,
    )
    assert name == "AbortError"
