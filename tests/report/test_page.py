"""The page of a report, opened from disk in Chromium as its readers do."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tk_instruct.exhibits import Bars, Section, Table
from tk_instruct.report import page

Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Open]:
    """Opens the report. In the end nothing may have failed, left the page, or asked anything."""
    contexts, wrong = [], []

    def open_(width: int = 1000, scheme: str = "light", script: bool = True, view: str = "") -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=script,
        )
        contexts.append(context)
        shown = context.new_page()
        shown.set_default_timeout(10_000)
        shown.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        shown.on("pageerror", lambda error: wrong.append(str(error)))
        shown.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        shown.on("request", lambda request: note(request.url))
        shown.goto(f"file://{report}/index.html{view}")
        if script:
            shown.wait_for_selector(".answers li")
        return shown

    def note(address: str) -> None:
        if not address.startswith(("file:", "data:")):
            wrong.append(address)

    yield open_
    for context in contexts:
        context.close()
    assert not wrong


# What is wider than the page or than its own box, though it has no box that scrolls.
OVERFLOWING = """() => {
    const wrong = [];
    const box = (element) => element.getBoundingClientRect();
    for (const element of document.querySelectorAll("body *")) {
        if (element.closest(".scroll, .skip, .unseen, details:not([open]) > :not(summary)")) {
            continue;
        }
        const {left, right, width} = box(element);
        const leaves = width && (left < -1 || right > innerWidth + 1);
        const cut = element.clientWidth && element.scrollWidth > element.clientWidth + 1
            && getComputedStyle(element).overflowX !== "visible";
        if (leaves || cut) wrong.push(element.outerHTML.slice(0, 99));
    }
    for (const text of document.querySelectorAll("svg text")) {
        const inner = box(text), outer = box(text.closest("svg"));
        if (inner.left < outer.left - 1 || inner.right > outer.right + 1
            || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1)
            wrong.push(text.textContent);
    }
    return wrong;
}"""

# Pairs of ink and paper whose contrast is below 4.5 (WCAG 2, AA), of what has text of its own.
PALE = """() => {
    const parts = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => parts(color).slice(0, 3)
        .map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
    const wrong = new Set();
    for (const element of document.querySelectorAll("body *:not(svg, svg *, script, noscript)")) {
        const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
        if (!texts.some((node) => node.data.trim())) continue;
        let paper = element, color;
        do color = getComputedStyle(paper).backgroundColor;
        while ((parts(color)[3] ?? 1) === 0 && (paper = paper.parentElement));
        const [low, high] = [light(getComputedStyle(element).color), light(color)].sort();
        if ((Math.max(low, high) + 0.05) / (Math.min(low, high) + 0.05) < 4.5)
            wrong.add(`${element.tagName} ${element.className}`);
    }
    return [...wrong];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 800, 1400])
def test_it_fits_and_can_be_read(opened: Open, width: int, scheme: str) -> None:
    shown = opened(width, scheme)
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    assert shown.evaluate(OVERFLOWING) == []
    assert shown.evaluate(PALE) == []
    figures = shown.locator(".figure svg")
    assert figures.count() > 12
    drawn = "all => all.map((each) => [each.getBBox().width, each.getBBox().height])"
    assert all(width > 100 and height > 30 for width, height in figures.evaluate_all(drawn))
    ink = shown.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
    assert ink == shown.evaluate("getComputedStyle(document.body).color")


def test_ids_are_unique_and_each_link_of_the_contents_leads_to_one(opened: Open) -> None:
    shown = opened()
    ids = shown.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))
    links = shown.evaluate(
        "[...document.querySelectorAll('a, use')].map(each => each.getAttribute('href'))"
    )
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    painted = shown.evaluate("document.documentElement.outerHTML.match(/url\\(#[^)]*\\)/g)")
    assert {each[5:-1] for each in painted} <= set(ids)


def test_files_that_it_links_to_are_there(opened: Open, report: Path) -> None:
    links = opened().evaluate(
        "[...document.querySelectorAll('.files a')].map(a => a.getAttribute('href'))"
    )
    files = {str(path.relative_to(report)) for path in report.rglob("*.*") if path.is_file()}
    assert {"index.html", *links} == files
    assert all((report / link).stat().st_size for link in links)


def test_the_keyboard_reaches_all_controls(opened: Open) -> None:
    shown = opened(400)
    wanted = shown.evaluate(
        """() => {
            const all = [...document.querySelectorAll("a, button, select, input, summary, .scroll")]
                .filter((each) => each.checkVisibility({contentVisibilityAuto: true}));
            all.forEach((each, number) => each.dataset.number = number);
            return all.length;
        }"""
    )
    reached = []
    for _ in range(wanted):
        shown.keyboard.press("Tab")
        reached.append(
            shown.evaluate(
                """() => {
                    const style = getComputedStyle(document.activeElement);
                    return [document.activeElement.dataset.number, style.outlineStyle !== "none"];
                }"""
            )
        )
    assert reached == [[str(number), True] for number in range(wanted)]


def test_without_javascript_all_but_the_viewer_is_there(opened: Open) -> None:
    shown = opened(script=False)
    assert shown.locator("table").first.is_visible()
    assert shown.locator(".figure svg").first.is_visible()
    assert "needs JavaScript" in shown.inner_text("#viewer")
    assert not shown.locator(".filters").is_visible()
    shown.locator("summary").first.click()
    assert shown.locator("details table").first.is_visible()


def test_in_print_all_is_open_and_the_viewer_left_out(opened: Open) -> None:
    shown = opened(700, "dark")
    shown.emulate_media(media="print")
    assert not shown.locator("nav a[href='#predictions']").is_visible()
    assert not shown.locator("#viewer").is_visible()
    data = shown.locator("details:not(.long) table").first
    assert data.bounding_box()["height"] > 50
    assert shown.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert shown.evaluate("document.documentElement.scrollWidth") <= 700
    assert shown.pdf()[:5] == b"%PDF-"


def count(shown: Any) -> list[int]:
    """Answers found, of how many, and shown."""
    found = re.fullmatch(
        r"([\d,]+) of ([\d,]+) answers(?:; mean .*)?; (\d+) shown", shown.inner_text(".count")
    )
    assert found
    numbers = [int(each.replace(",", "")) for each in found.groups()]
    assert shown.locator(".answers > li").count() == numbers[2]
    return numbers


def test_filters_and_search_by_keyboard_and_the_address_keeps_them(opened: Open) -> None:
    shown = opened()
    assert count(shown) == [69, 69, 20]
    shown.locator("[name=category]").focus()
    shown.keyboard.type("Word")
    assert count(shown) == [30, 69, 20]
    tasks = shown.locator("[name=task] option").all_inner_texts()
    assert tasks == ["all", "task1_of_words", "task3_of_words", "task5_of_words"]
    shown.keyboard.press("Tab")
    shown.keyboard.type("task3")
    assert count(shown) == [10, 69, 10]
    shown.keyboard.press("Tab")
    shown.keyboard.type("wrong")
    wrong = count(shown)[0]
    assert 0 < wrong < 10
    assert shown.locator(".answers > li").count() == wrong
    shown.keyboard.press("Shift+Tab")
    shown.keyboard.press("Home")
    shown.keyboard.press("Tab")
    shown.keyboard.press("Home")
    shown.keyboard.press("Tab")
    shown.keyboard.type("is 21 EVEN")
    assert count(shown) == [1, 69, 1]
    assert shown.locator("mark").inner_text() == "Is 21 even"
    shown.wait_for_url(lambda address: "21" in address)
    address = shown.evaluate("location.hash")
    again = opened(view=address)
    assert count(again) == [1, 69, 1]
    assert again.input_value("[name=search]") == "is 21 EVEN"
    assert again.input_value("[name=category]") == "Word Analogy"
    again.get_by_role("button", name="Reset").press("Enter")
    assert count(again) == [69, 69, 20]


def test_more_are_shown_when_asked_and_the_focus_goes_on_there(opened: Open) -> None:
    shown = opened()
    shown.locator(".more").press("Enter")
    assert count(shown) == [69, 69, 40]
    assert shown.evaluate("document.activeElement.innerText").startswith("task2_of_words")
    shown.get_by_role("link", name="Predictions").click()
    assert count(shown) == [69, 69, 40]
    for _ in range(2):
        shown.locator(".more").press("Enter")
    assert count(shown) == [69, 69, 69]
    assert not shown.locator(".more").is_visible()


def test_right_and_wrong_are_told_by_the_best_score(opened: Open) -> None:
    shown = opened()
    for which, sign in (("right", "✓ right, ROUGE-L 100"), ("wrong", "✗ wrong, ROUGE-L ")):
        shown.select_option("[name=which]", which)
        marks = shown.locator(".answers > li dl > dd:nth-of-type(3) .mark").all_inner_texts()
        assert marks
        assert all(mark.startswith(sign) for mark in marks)
    shown.select_option("[name=system]", index=2)
    shown.select_option("[name=which]", "right")
    assert count(shown) == [1, 1, 1]
    assert "empty answer" in shown.inner_text(".answers")


def test_the_instruction_is_folded_and_systems_stand_beside_each_other(opened: Open) -> None:
    shown = opened()
    first = shown.locator(".answers > li").first
    assert "Definition" not in first.inner_text()
    assert "Input: Is 0 even?\nOutput:" in first.inner_text()
    assert first.locator("dt").all_inner_texts() == ["Input", "Reference", "ours", "baseline <b>"]
    first.locator("summary").press("Enter")
    shown.wait_for_selector(".folded")
    assert "Definition: In task 0 you answer" in first.inner_text()
    assert "Now complete the following example" in first.locator(".folded").inner_text()


def test_hostile_texts_are_text(opened: Open, hostile: Sequence[str]) -> None:
    shown = opened(400)
    shown.select_option("[name=category]", "Hostile")
    assert count(shown) == [9, 69, 9]
    assert shown.locator("#viewer :is(img, a, b > *)").count() == 0
    assert shown.locator("img, iframe, object").count() == 0
    assert shown.locator("script").count() == 2
    text = shown.inner_text(".answers")
    assert all(each in text for each in (*hostile[:3], hostile[6]))
    assert r"right to left \u202eABC\u2066 and NUL \x00 and half a pair \ud800" in text
    assert shown.evaluate("document.documentElement.scrollWidth") <= 400
    whole = shown.get_by_role("button", name="Show all 100,000 characters").first
    assert len(text) < 30_000
    whole.press("Enter")
    assert len(shown.inner_text(".answers")) > 100_000
    assert shown.evaluate("document.documentElement.scrollWidth") <= 400


def test_the_same_report_is_the_same_bytes(tmp_path: Path) -> None:
    sections = [Section("S", [], [Bars("b", "B", "u", ["a"], {}), Table("t", "T", ["n"], [["x"]])])]
    digests = []
    for name in ("first", "second"):
        paths = page.write(tmp_path / name, "T", sections)
        assert [str(path.relative_to(tmp_path / name)) for path in paths] == [
            "index.html",
            *(f"figures/b.{ending}" for ending in ("png", "svg", "csv")),
            *(f"tables/t.{ending}" for ending in ("tex", "md", "csv")),
        ]
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    assert digests[0] == digests[1]
    assert "<script" not in (tmp_path / "first" / "index.html").read_text()


def test_names_of_exhibits_are_names_of_files() -> None:
    def of(*names: str) -> list[Section]:
        return [Section("S", [], [Table(name, "T", ["n"], []) for name in names])]

    with pytest.raises(ValueError, match=r"'\.\./x' must be of letters, digits, - and _"):
        page.write(Path("nowhere"), "T", of("../x"))
    with pytest.raises(ValueError, match="two exhibits have the name 'A'; names must differ"):
        page.write(Path("nowhere"), "T", of("a", "A"))
