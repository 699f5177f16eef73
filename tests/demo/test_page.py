"""The page in a browser, drawn on with mouse, finger and keys; it also takes the pictures of docs/.

`UNFOOLED_PICTURED=runs/mnist pytest tests/demo/test_page.py` shows the networks of that run, and
writes docs/figures/demo.png and demo-phone.png.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import played
import pytest
from playwright.sync_api import Browser, Page, expect

from unfooled.demo import opening
from unfooled.demo.playing import Game
from unfooled.demo.serving import Hall

PICTURED = os.environ.get("UNFOOLED_PICTURED", "")
FIGURES = Path(__file__).parents[2] / "docs" / "figures"
LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
SEVEN = ((70, 60), (200, 60), (190, 100), (125, 240))
PATIENT = 60_000  # milliseconds, for a machine with much else to do


@pytest.fixture(scope="module")
def address(game: Game) -> Iterator[str]:
    shown = opening.of_run(Path(PICTURED), data=None, device="cpu") if PICTURED else game
    with played.served(Hall(shown)) as address:
        yield address


@pytest.fixture
def opened(chromium: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Opens the page; nothing may be said on the console, and nothing asked from elsewhere."""
    said, contexts = list[str](), []

    def open_(**how: object) -> Page:
        contexts.append(chromium.new_context(**how))  # type: ignore[arg-type]
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENT)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request", lambda one: one.url.startswith((address, "data:")) or said.append(one.url)
        )
        page.goto(address)
        expect(page.locator(".net").first).to_contain_text("reads", timeout=PATIENT)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert said == []


@contextmanager
def answered(page: Page) -> Iterator[None]:
    """Waits for the answer to what is done inside."""
    before = page.locator("body").get_attribute("data-done")
    yield
    expect(page.locator("body")).not_to_have_attribute("data-done", before or "", timeout=PATIENT)


def draw(page: Page) -> None:
    pad = page.locator("#pad").bounding_box()
    assert pad is not None
    scale = pad["width"] / 280
    (x, y), *rest = ((pad["x"] + x * scale, pad["y"] + y * scale) for x, y in SEVEN)
    page.mouse.move(x, y)
    page.mouse.down()
    for x, y in rest:
        page.mouse.move(x, y, steps=6)
    page.mouse.up()


def eps(page: Page, share: float) -> None:
    slider = page.locator("#eps")
    most = float(slider.get_attribute("max") or 0)
    with answered(page):
        slider.fill(str(round(60 * share) * most / 60))


def verdicts(page: Page) -> list[str]:
    return page.locator(".verdict").all_text_contents()


def test_a_digit_is_drawn_and_fooled(opened: Callable[..., Page], tmp_path: Path) -> None:
    page = opened(viewport=LAPTOP)
    page.get_by_label("Draw one").check()
    expect(page.locator("#sentence")).to_contain_text("Draw a digit")
    with answered(page):
        draw(page)
    eps(page, 0)
    expect(page.locator(".verdict").first).to_contain_text("✓ reads 7")
    eps(page, 1)
    expect(page.locator(".net").first).to_have_class("net fell")
    assert verdicts(page)[0].startswith("✗ reads ")
    assert "reads 7" not in verdicts(page)[0]
    expect(page.locator("#live")).to_contain_text("fools", timeout=PATIENT)
    eps(page, 0.5)
    certified = expect(page.locator(".net").first)
    certified.to_contain_text("certified to 0.", timeout=PATIENT)
    certified.to_contain_text("nobody knows between", timeout=PATIENT)
    last = expect(page.locator(".net").last)
    last.to_contain_text("certified", timeout=4 * PATIENT)
    page.screenshot(path=(FIGURES if PICTURED else tmp_path) / "demo.png", full_page=True)
    page.get_by_label("Wanted").select_option("3")
    expect(page.locator("#sentence")).to_contain_text("towards 3", timeout=PATIENT)
    page.get_by_label("Square").check()
    expect(page.locator(".verdict").first).to_contain_text("quer", timeout=PATIENT)


def test_noise_is_painted_on_a_phone(opened: Callable[..., Page], tmp_path: Path) -> None:
    page = opened(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark")
    eps(page, 0.5)
    page.screenshot(path=(FIGURES if PICTURED else tmp_path) / "demo-phone.png")
    with answered(page):
        page.get_by_label("Your own noise").check()
    expect(page.locator("#sentence")).to_contain_text("Your noise")
    pad = page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box is not None
    with answered(page):
        page.touchscreen.tap(box["x"] + 100, box["y"] + 100)
    expect(page.locator("figcaption").nth(2)).to_contain_text("change \N{MULTIPLICATION SIGN}")
    width = page.evaluate("() => document.documentElement.scrollWidth")
    assert width == PHONE["width"]


def test_keys_alone_draw_and_attack(opened: Callable[..., Page]) -> None:
    page = opened(viewport=LAPTOP, reduced_motion="reduce")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Test image", exact=True)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_label("Draw one")).to_be_checked()
    page.keyboard.press("Tab")
    expect(page.locator("#pad")).to_be_focused()
    for key in ("Shift+ArrowUp", "Shift+ArrowUp", "Shift+ArrowUp", "Space"):
        page.keyboard.press(key)
    expect(page.locator("#penstate")).to_have_text("pen down")
    for _ in range(6):
        with answered(page):
            page.keyboard.press("Shift+ArrowDown")
    expect(page.locator(".verdict").first).to_contain_text("reads")
    page.keyboard.press("Delete")
    expect(page.locator("#sentence")).to_contain_text("Draw a digit")
