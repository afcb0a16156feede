"""The page in headless Chromium against a real server; skipped where there is no browser."""

import csv
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bestiary.data.eval_view import EvalView
from bestiary.ensemble.ensemble import Ensemble
from bestiary.run.run import Run
from bestiary.serving.application import build_application
from bestiary.serving.explaining import SimilarImages, saliency_mask
from bestiary.serving.limits import Limits

pytestmark = pytest.mark.browser

TOKEN = "a-token-of-some-length"
# the browser's own note of any 4xx
BROWSER_NOTE = "Failed to load resource: the server responded with a status of "

# The events of dropping and pasting files; Playwright has no gesture for either.
EVENTS = """([kind, files]) => {
  const data = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
    data.items.add(new File([bytes], name, {type: "image/jpeg"}));
  }
  const init = {bubbles: true, cancelable: true};
  document.getElementById("start").dispatchEvent(kind === "paste"
    ? new ClipboardEvent(kind, {...init, clipboardData: data})
    : new DragEvent(kind, {...init, dataTransfer: data}));
}"""


@pytest.fixture(scope="module")
def url(trained: Run, ensemble: Ensemble, running: Callable[..., Any]) -> Iterator[str]:
    training = SimilarImages.of(trained, ensemble)
    limits = Limits(max_body_bytes=300_000, max_pixels=1_000_000, timeout_seconds=300.0)
    with running(build_application(ensemble, limits=limits, training=training)) as started:
        yield started


@pytest.fixture(scope="module")
def images(beasts: Path) -> list[Path]:
    return sorted(beasts.rglob("*.jpg"))


@pytest.fixture
def page(chromium: Any, url: str) -> Iterator[Any]:
    """The page. Any console message and any request to another site fails the test."""
    context = chromium.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme="light", accept_downloads=True
    )
    page = context.new_page()
    complaints: list[str] = []

    def note_foreign(request: Any) -> None:
        if not request.url.startswith((url, "blob:", "data:")):
            complaints.append(request.url)

    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", note_foreign)
    page.set_default_timeout(120_000)
    page.goto(url)
    page.locator("#facts div").first.wait_for()
    page.complaints = complaints
    yield page
    context.close()
    assert [line for line in complaints if not line.startswith(BROWSER_NOTE)] == []


def answered(page: Any) -> str:
    """The label of the image that is shown, once it is answered."""
    page.locator("#badge:not(.waiting)").wait_for()
    return str(page.locator("#label").inner_text())


def send(page: Any, kind: str, *files: Path) -> None:
    from base64 import b64encode

    page.evaluate(
        EVENTS, [kind, [(file.name, b64encode(file.read_bytes()).decode()) for file in files]]
    )


def test_choose_photo_drop_and_paste(page: Any, images: list[Path]) -> None:
    ways: list[Callable[[Path], None]] = [
        lambda file: page.set_input_files("#files", file),
        lambda file: page.set_input_files("#photo", file),
        lambda file: send(page, "drop", file),
        lambda file: send(page, "paste", file),
    ]
    for image, way in zip(images, ways, strict=False):
        way(image)
        page.locator("#file", has_text=image.name).wait_for()
        label = answered(page)
        assert label and page.locator("#top li").count() == 3  # as many classes as there are
        assert image.name in page.locator("#status").inner_text()
        page.locator("#similar li").nth(2).wait_for()
        page.locator("#similar img").first.wait_for()
    assert page.locator("#rows tr").count() == 4
    assert page.locator("#photo").get_attribute("capture") == "environment"
    assert page.complaints == []


def test_buttons_open_choosers_by_keyboard(page: Any, images: list[Path]) -> None:
    # Playwright catches choosers while a listener is there. Without this one, the second chooser
    # could escape it.
    page.on("filechooser", lambda _: None)
    page.locator("#choose").focus()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    assert chooser.value.is_multiple()
    chooser.value.set_files(images[0])
    answered(page)
    page.set_viewport_size({"width": 400, "height": 800})
    page.locator("#camera").wait_for()
    page.locator("#camera").focus()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(images[1])
    page.locator("#rows tr").nth(1).wait_for()


def test_accepted_answer_is_shown(page: Any, images: list[Path]) -> None:
    page.route(
        "**/v1/predict",
        lambda route: route.fulfill(json={"predictions": [ANSWER | {"accepted": True}]}),
    )
    page.set_input_files("#files", images[0])
    assert answered(page) == "sea horse"
    assert page.locator("#badge").inner_text() == "Sure"
    assert "about 81 in 100 are right" in page.locator("#meaning").inner_text()
    assert page.locator("#top li").all_inner_texts() == [
        "sea horse\n81.2 %",
        "<b>crab</b>\n18.8 %",
        "ant\n< 0.1 %",
    ]
    assert page.locator("#set li").all_inner_texts() == ["sea horse", "<b>crab</b>"]


ANSWER = {
    "name": None,
    "label": "sea_horse",
    "confidence": 0.812,
    "member_agreement": 1.0,
    "prediction_set": ["sea_horse", "<b>crab</b>"],
    "top": [
        {"label": "sea_horse", "confidence": 0.812},
        {"label": "<b>crab</b>", "confidence": 0.1879},
        {"label": "ant", "confidence": 0.0001},
    ],
    "accepted": False,
    "unknown": False,
    "error": None,
}
WORDS = {
    "Unknown": ({"unknown": True}, "unlike anything"),
    "Not sure": ({}, "Look for yourself"),
    "Not calibrated": ({"unknown": None, "accepted": None, "prediction_set": None}, "not finished"),
}


@pytest.mark.parametrize("word", WORDS)
def test_unaccepted_answers_are_shown(page: Any, images: list[Path], word: str) -> None:
    change, sentence = WORDS[word]
    page.route(
        "**/v1/predict", lambda route: route.fulfill(json={"predictions": [ANSWER | change]})
    )
    page.set_input_files("#files", images[0])
    label = answered(page)
    assert page.locator("#badge").inner_text() == word
    assert sentence in page.locator("#meaning").inner_text()
    assert (label == "Nothing it knows") == (word == "Unknown")
    assert page.locator("#setbox").is_visible() == (word == "Not sure")
    assert word in page.locator("#status").inner_text()


def test_confident_answer_says_why_it_is_not_sure(page: Any, images: list[Path]) -> None:
    answer = ANSWER | {"confidence": 0.989}
    page.route("**/v1/predict", lambda route: route.fulfill(json={"predictions": [answer]}))
    page.set_input_files("#files", images[0])
    answered(page)
    assert "too few labeled images" in page.locator("#meaning").inner_text()
    assert "only" not in page.locator("#meaning").inner_text()


def test_answers_are_filtered_and_sorted(page: Any, images: list[Path]) -> None:
    answers = [
        ANSWER | {"accepted": True, "label": "b", "confidence": 0.9},
        ANSWER | {"unknown": True, "label": "c", "confidence": 0.99},
        ANSWER | {"accepted": True, "label": "a", "confidence": 0.95},
    ]
    page.route("**/v1/predict", lambda route: route.fulfill(json={"predictions": [answers.pop(0)]}))
    for index, image in enumerate(images[:3], 1):
        page.set_input_files("#files", image)
        page.locator("#tally", has_text=f"{index} of {index} answered").wait_for(state="attached")
    filters = page.locator("#filters button")
    assert filters.all_inner_texts() == ["3 all", "2 sure", "1 unknown"]
    assert "unknown; nearest: c" in page.locator("#rows tr.dim").inner_text()
    labels = page.locator("#rows tr:visible td:nth-child(2)")
    page.locator("th button", has_text="Answer").click()
    assert labels.all_inner_texts() == ["a", "b", "unknown; nearest: c"]
    page.locator("th button", has_text="Confidence").dblclick()
    assert labels.all_inner_texts() == ["unknown; nearest: c", "a", "b"]
    filters.nth(1).click()
    assert labels.all_inner_texts() == ["a", "b"]
    assert filters.nth(1).get_attribute("aria-pressed") == "true"


def test_example_is_a_training_image(page: Any, images: list[Path]) -> None:
    page.locator("#examples button").first.wait_for()
    assert page.locator("#examples button").count() == 3
    page.locator("#examples button").first.click()
    answered(page)
    page.set_input_files("#files", images[3])
    page.locator("#trained").wait_for()


def test_saliency_mask_toggles(page: Any, images: list[Path]) -> None:
    mask = saliency_mask(np.zeros((48, 36, 3), np.uint8), EvalView(32), np.ones((32, 32)))
    page.route(
        "**/v1/explain",
        lambda route: route.fulfill(json={"label": "x", "mask": mask, "similar": None}),
    )
    page.set_input_files("#files", images[0])
    page.locator("#looked").wait_for()
    page.locator("#looked").focus()
    assert page.locator("#mask").is_hidden()
    page.keyboard.press("Enter")
    assert page.locator("#looked").get_attribute("aria-pressed") == "true"
    boxes = """["mask", "image"].map(
      id => JSON.stringify(document.getElementById(id).getBoundingClientRect()))"""
    assert len(set(page.evaluate(boxes))) == 1
    assert "None can be shown" in page.locator("#similarnote").inner_text()
    page.keyboard.press("Enter")
    assert page.locator("#mask").is_hidden()


def test_many_images_become_csv(page: Any, images: list[Path], tmp_path: Path) -> None:
    shutil.copy(images[0], tmp_path / "=formula, and comma.jpg")
    (tmp_path / "broken.jpg").write_bytes(images[0].read_bytes()[:100])
    page.set_input_files("#files", [*images[:9], *sorted(tmp_path.iterdir())])
    page.locator("#progress").wait_for(state="hidden")
    assert page.locator("#tally").inner_text().startswith("11 of 11 answered")
    with page.expect_download() as download:
        page.locator("#csv").click()
    assert download.value.suggested_filename == "prediction.csv"
    rows = list(csv.DictReader(Path(download.value.path()).read_text("utf-8").splitlines()))
    assert [row["path"] for row in rows] == [
        *(p.name for p in images[:9]),
        "'=formula, and comma.jpg",
        "broken.jpg",
    ]
    assert all(
        float(row["confidence"]) > 0 and row["accepted"] in ("true", "false") for row in rows[:10]
    )
    assert "cannot be read" in rows[10]["error"] and rows[10]["label"] == ""
    assert rows[9]["label"] == rows[0]["label"]
    page.locator("#rows button").nth(4).focus()
    page.keyboard.press("Enter")
    page.locator("#file", has_text=images[4].name).wait_for()
    assert page.locator("#rows tr").nth(4).get_attribute("aria-current") == "true"
    page.locator("#clear").click()
    assert page.locator("#result").is_hidden() and page.locator("#many").is_hidden()
    assert page.evaluate("document.activeElement.id") == "choose"


def test_errors_are_shown(page: Any, images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    (tmp_path / "large.jpg").write_bytes(images[0].read_bytes() + bytes(300_000))
    Image.new("RGB", (1001, 1000)).save(tmp_path / "wide.png")
    for name, words in (
        ("text.jpg", "no JPEG"),
        ("large.jpg", "larger than the 0.3 MB"),
        ("wide.png", "1001 x 1000"),
    ):
        page.set_input_files("#files", tmp_path / name)
        alert = page.locator("#alerts p", has_text=name)
        alert.wait_for()
        assert words in alert.inner_text()
        assert page.locator("#label").inner_text() == "This image has no answer"
        alert.locator("button").click()
    send(page, "paste")
    assert "no image on the clipboard" in page.locator("#alerts").inner_text()
    page.evaluate("""() => {
      const data = new DataTransfer();
      data.setData("text/plain", "x");
      const init = {bubbles: true, cancelable: true, dataTransfer: data};
      document.body.dispatchEvent(new DragEvent("drop", init));
    }""")
    assert "That is no file" in page.locator("#alerts").inner_text()
    page.route(
        "**/v1/predict",
        lambda route: route.fulfill(status=500, json={"detail": "The service has failed."}),
    )
    page.set_input_files("#files", images[0])
    page.locator("#alerts p", has_text="The service has failed.").wait_for()
    page.route("**/v1/predict", lambda route: route.abort())
    page.set_input_files("#files", images[1])
    page.locator("#alerts p", has_text="does not answer").wait_for()
    page.complaints[:] = [
        line for line in page.complaints if "net::ERR_FAILED" not in line
    ]  # the browser's own note of that


def test_busy_service_is_retried(page: Any, images: list[Path]) -> None:
    requests: list[Any] = []

    def busy_once(route: Any) -> None:
        requests.append(route)
        if len(requests) == 1:
            route.fulfill(status=503, headers={"Retry-After": "1"}, json={"detail": "busy"})
        else:
            route.continue_()

    page.route("**/v1/predict", busy_once)
    page.set_input_files("#files", images[0])
    answered(page)
    assert len(requests) == 2 and page.locator("#alerts p").count() == 0


def test_tiff_is_answered_but_not_shown(page: Any, images: list[Path], tmp_path: Path) -> None:
    Image.open(images[0]).save(tmp_path / "image.tif")
    page.set_input_files("#files", tmp_path / "image.tif")
    answered(page)
    page.locator("#noshow").wait_for()
    assert page.locator("#top li").count() == 3
    page.set_input_files("#files", images[0])
    page.locator("#image").wait_for()
    assert page.locator("#noshow").is_hidden()


def test_token_dialog(
    chromium: Any,
    ensemble: Ensemble,
    running: Callable[..., Any],
    images: list[Path],
    violations: Callable[[Any], list[str]],
) -> None:
    with running(build_application(ensemble, token=TOKEN)) as started:
        page = chromium.new_page()
        page.goto(started)
        page.locator("#ask[open]").wait_for()
        assert violations(page) == []
        page.keyboard.type("a-wrong-token-of-some-length")
        page.keyboard.press("Enter")
        page.locator("#askwhy", has_text="not the right one").wait_for()
        page.locator("#token").fill(TOKEN)
        page.keyboard.press("Enter")
        page.locator("#facts div").first.wait_for()
        page.set_input_files("#files", images[0])
        answered(page)
        page.reload()
        page.locator("#facts div").first.wait_for()
        assert page.locator("#ask").is_hidden()
        page.close()


@pytest.mark.parametrize(
    ("width", "scheme"), [(400, "light"), (400, "dark"), (1280, "light"), (1280, "dark")]
)
def test_accessibility_axe(
    page: Any, images: list[Path], width: int, scheme: str, violations: Callable[[Any], list[str]]
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    assert violations(page) == []
    answers = [ANSWER | change for change, _ in WORDS.values()] + [ANSWER | {"accepted": True}]
    page.route("**/v1/predict", lambda route: route.fulfill(json={"predictions": [answers.pop(0)]}))
    for number in range(4):
        page.set_input_files("#files", images[number])
        answered(page)
        page.locator("#similar li").nth(2).wait_for()
        page.locator("#knows").click()
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    send(page, "paste")
    assert violations(page) == []
    assert page.locator("#camera").is_visible() == (width == 400)


def test_theme_follows_system_until_chosen(page: Any, check_theme: Callable[[Any], None]) -> None:
    check_theme(page)


def test_content_security_policy_blocks_inline(page: Any) -> None:
    ran = page.evaluate("""async () => {
      const image = document.createElement("img");
      document.body.append(Object.assign(image, {src: "data:,", onerror: null}));
      const style = document.createElement("style");
      style.textContent = "body { display: none }";
      document.head.append(style);
      let refused = false;
      try { document.body.innerHTML = "<p>"; } catch { refused = true; }
      return [getComputedStyle(document.body).display, refused];
    }""")
    assert ran == ["flex", True]
    assert any("Content Security Policy" in line for line in page.complaints)
    page.complaints.clear()
