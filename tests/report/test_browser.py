"""The report in a real browser: Debian's Chromium without a window."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import pytest

from prognobench.report.page import build, write_report

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
EVIL = "<script>alert(1)</script>"
LARGEST = 8_000_000


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with playwright.sync_playwright() as running:
        context = running.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=CHROMIUM,
            headless=True,
            args=list(FLAGS),
            viewport={"width": 1280, "height": 900},
        )
        yield context
        context.close()


@dataclasses.dataclass
class Opened:
    """A page with all that it said and asked for."""

    page: object
    path: Path
    said: list[str]
    asked: list[str]

    def rows(self):
        """The texts of the rows of the leaderboard that are shown, by heading."""
        return self.page.evaluate(
            """() => {
              const table = document.querySelector('.board');
              const names = [...table.tHead.rows[0].cells].map(
                (cell) => cell.querySelector('button').textContent);
              return [...table.tBodies[0].rows].filter((row) => row.checkVisibility()).map(
                (row) => Object.fromEntries([...row.cells].map(
                  (cell, place) => [names[place], cell.firstChild?.textContent ?? ''])));
            }"""
        )


@pytest.fixture
def opened(browser, content, tmp_path):
    def opening(shown=content):
        path = write_report(tmp_path, shown)
        page = browser.new_page()
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        pages.append(page)
        return Opened(page, path, said, asked)

    pages = []
    yield opening
    for page in pages:
        page.close()


def heading(page, name):
    return page.locator(".board thead button", has_text=name).first


def number(text):
    return float(text.split(" ")[0].replace("−", "-").replace("\u202f", ""))


def test_it_opens_without_an_error_and_asks_for_nothing(opened):
    one = opened()
    one.page.mouse.wheel(0, 20_000)
    one.page.wait_for_timeout(300)
    assert one.said == []
    own = [url for url in one.asked if not url.startswith("data:")]
    assert own == [one.path.as_uri()]
    assert one.path.stat().st_size <= LARGEST


def test_what_leaves_the_page_would_be_found(opened, tmp_path):
    one = opened()
    page = one.path.read_text(encoding="utf-8")
    broken = tmp_path / "broken.html"
    hole = "<img src='http://127.0.0.1:9/x.png'><script>throw new Error('loud')</script></main>"
    broken.write_text(page.replace("</main>", hole), encoding="utf-8")
    one.page.goto(broken.as_uri())
    assert any("loud" in text for text in one.said)
    assert any("Content Security Policy" in text for text in one.said)


def test_a_heading_sorts_up_and_down(opened):
    one = opened()
    one.page.locator(".filters button[type=reset]").click()
    one.page.wait_for_timeout(50)
    for name in ("MCC", "Trained parameters"):
        heading(one.page, name).click()
        up = [number(row[name]) for row in one.rows() if row[name] != "–"]
        assert up == sorted(up)
        assert up[0] < up[-1]
        heading(one.page, name).click()
        down = [row[name] for row in one.rows()]
        known = [number(text) for text in down if text != "–"]
        assert known == sorted(known, reverse=True)
        # What is missing stands last whichever way.
        assert "–" not in down[: len(known)]
    heading(one.page, "Backbone").click()
    names = [row["Backbone"] for row in one.rows()]
    assert names == sorted(names)
    assert one.said == []


def test_filters_leave_what_was_asked_for(opened, content):
    one = opened()
    page = one.page
    tasks = page.locator("select[name=task] option").all_inner_texts()[1:]
    settings = page.locator("select[name=setting] option").all_inner_texts()[1:]
    page.locator(".filters button[type=reset]").click()
    page.wait_for_timeout(50)
    every = len(one.rows())
    assert every == len(content.leaderboard)
    for task in tasks:
        page.select_option("select[name=task]", task)
        assert {row["Task"] for row in one.rows()} == {task}
    page.select_option("select[name=task]", "")
    counted = 0
    for setting in settings:
        page.select_option("select[name=setting]", setting)
        rows = one.rows()
        assert {row["Regime"] for row in rows} == {setting}
        counted += len(rows)
        assert f"{len(rows)} of {every} rows" in page.locator(".filters output").inner_text()
    assert counted == every
    page.select_option("select[name=setting]", "")
    page.select_option("select[name=metric]", "auroc")
    assert heading(page, "AUROC").is_visible()
    assert not heading(page, "MCC").is_visible()
    assert heading(page, "Trained parameters").is_visible()


def test_each_figure_is_drawn_and_told(opened, content):
    one = opened()
    one.page.locator(".filters button[type=reset]").click()
    one.page.wait_for_timeout(50)
    drawn = one.page.evaluate(
        """() => [...document.querySelectorAll('figure[data-figure]')].map((figure) => {
          const svg = figure.querySelector('svg'), box = svg.getBoundingClientRect();
          const marks = [...svg.querySelectorAll('path, use, text')].filter((mark) => {
            const own = mark.getBoundingClientRect();
            return own.width + own.height > 0 && own.right > box.left && own.left < box.right;
          });
          return {name: figure.dataset.figure, width: box.width, height: box.height,
                  marks: marks.length, told: svg.querySelector('title, desc')?.textContent ?? '',
                  label: svg.getAttribute('aria-label') ?? svg.getAttribute('aria-labelledby'),
                  caption: figure.querySelector('figcaption').innerText};
        })"""
    )
    assert {own["name"] for own in drawn} == {own.stem for own in build(content).figures}
    assert drawn
    for own in drawn:
        assert own["width"] > 200, own
        assert own["height"] > 60, own
        assert own["marks"] > 10, own
        assert own["label"] or len(own["told"]) > 20, own
        assert len(own["caption"]) > 40, own
    pictures = one.page.evaluate(
        "() => [...document.images].map((own) => [own.naturalWidth, own.alt.length])"
    )
    assert pictures
    assert all(width > 50 and words > 20 for width, words in pictures)


def test_a_hostile_name_is_text(opened, content):
    board = content.leaderboard.assign(dataset=EVIL)
    tables = {
        name: getattr(content, name).assign(dataset=EVIL)
        for name in ("results", "runs", "curves", "subgroups")
    }
    one = opened(
        dataclasses.replace(
            content, title=EVIL, leaderboard=board, ranks=content.ranks.iloc[:0], **tables
        )
    )
    one.page.wait_for_timeout(200)
    assert one.said == []
    assert one.page.locator("h1").inner_text() == EVIL
    assert one.page.locator(".board tbody tr").first.inner_text().startswith(EVIL)
    assert one.page.locator("script").count() == 1


def test_the_keyboard_reaches_and_sorts(opened):
    one = opened()
    page = one.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= 0
    wanted = heading(page, "MCC")
    for _ in range(120):
        page.keyboard.press("Tab")
        if wanted.evaluate("node => node === document.activeElement"):
            break
    else:
        pytest.fail("no way to the heading by the tab key")
    outline = wanted.evaluate("node => getComputedStyle(node).outlineStyle")
    assert outline not in ("none", "")
    state = "node => node.closest('th').getAttribute('aria-sort')"
    page.keyboard.press("Enter")
    assert wanted.evaluate(state) == "ascending"
    page.keyboard.press("Space")
    assert wanted.evaluate(state) == "descending"
    summary = page.locator("summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert summary.evaluate("node => node.parentElement.open")
    # What scrolls sideways is reached by the keyboard, too.
    assert page.locator(".scroll:not([tabindex])").count() == 0


CONTRAST = """() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
      .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (node) => {
    for (let own = node; own; own = own.parentElement) {
      const colour = getComputedStyle(own).backgroundColor;
      if (!/rgba\\(.*, 0\\)/.test(colour)) return colour;
    }
    return getComputedStyle(document.documentElement).backgroundColor;
  };
  const found = [];
  const words = 'p, td, th, li, dt, dd, h1, h2, h3, h4, a, button, small, figcaption';
  for (const node of document.querySelectorAll(words)) {
    if (!node.checkVisibility() || !node.innerText.trim()) continue;
    const [a, b] = [light(getComputedStyle(node).color), light(ground(node))].sort();
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), node.innerText.slice(0, 40)]);
  }
  return {body: getComputedStyle(document.body).backgroundColor,
          worst: found.sort(([x], [y]) => x - y)[0],
          text: getComputedStyle(document.querySelector('figure svg text')
            ?? document.body).fill};
}"""


def test_it_is_read_in_light_and_in_dark(opened):
    one = opened()
    found = {}
    for scheme in ("light", "dark"):
        one.page.emulate_media(color_scheme=scheme)
        found[scheme] = one.page.evaluate(CONTRAST)
        contrast, text = found[scheme]["worst"]
        assert contrast >= 4.5, (scheme, text, contrast)  # WCAG 2.2, level AA
    assert found["light"]["body"] != found["dark"]["body"]


def test_it_is_read_on_a_phone(opened):
    one = opened()
    one.page.set_viewport_size({"width": 390, "height": 844})
    assert one.page.evaluate("document.documentElement.scrollWidth") == 390
    small = one.page.evaluate(
        """() => [...document.querySelectorAll('figure[data-figure] svg')]
          .filter((svg) => svg.checkVisibility())
          .map((svg) => [svg.closest('figure').dataset.figure,
            Math.min(...[...svg.querySelectorAll('text')].map(
              (text) => parseFloat(getComputedStyle(text).fontSize)
                * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width))])"""
    )
    assert small
    assert min(size for _, size in small) >= 7, small


def test_it_prints(opened, tmp_path):
    one = opened()
    # The width of A4 across, less its margins, at 96 pixels an inch.
    one.page.set_viewport_size({"width": 1032, "height": 700})
    one.page.emulate_media(media="print")
    wide = one.page.evaluate(
        """() => [...document.querySelectorAll('table, figure, pre')]
          .filter((own) => own.checkVisibility() && own.getBoundingClientRect().right > 1034)
          .map((own) => own.textContent.trim().slice(0, 40))"""
    )
    assert wide == []
    target = tmp_path / "print.pdf"
    one.page.pdf(path=target, format="A4")
    assert target.read_bytes().startswith(b"%PDF")
    assert target.stat().st_size > 50_000
    reader = shutil.which("pdftotext")
    if reader is None:
        pytest.skip("there is no pdftotext: apt-get install poppler-utils")
    told = subprocess.run(
        [reader, "-layout", target, "-"], capture_output=True, text=True, check=True
    )
    for words in ("The answer", "Leaderboard", "Appendix", "For research only"):
        assert words in told.stdout
    # The answer begins on the first page, and is not pushed to the next as a whole.
    assert "Is there a winner?" in told.stdout.partition("\f")[0]
    assert "Show all" not in told.stdout


def test_it_is_read_without_scripts(browser, content, tmp_path):
    path = write_report(tmp_path, content)
    context = browser.browser.new_context(java_script_enabled=False) if browser.browser else None
    if context is None:
        page = browser.new_page()
        page.route("**/*", lambda route: route.continue_())
        session = browser.new_cdp_session(page)
        session.send("Emulation.setScriptExecutionDisabled", {"value": True})
    else:
        page = context.new_page()
    page.goto(path.as_uri())
    assert page.locator(".board tbody tr").first.is_visible()
    assert not page.locator("form.filters").is_visible()
    page.close()
