"""The page in dark and light, and on a phone."""

from __future__ import annotations

import pytest

from tests.playground.browser import Page, wait_until

pytestmark = pytest.mark.deep

EVERYTHING = """\
# a comment
import sys
@str
def f(): return "text"
print(len("out")); print("err", file=sys.stderr)
fail("no") if False else None
try: fail("no")
except ToolError: pass
[{"column " + "x" * 20: "value " * 20, "b": i, "c": None} for i in range(12)]
"""

# Returns each element that shows text, with the contrast between the text and its background.
CONTRASTS = """
const rgb = (colour) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const luminance = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const colour = rgb(getComputedStyle(element).backgroundColor);
    if (colour[3] === 255) return colour;
  }
  return [255, 255, 255, 255];
};
const shown = [...document.querySelectorAll("#codemode-playground *")].filter((element) =>
  element.tagName !== "TEXTAREA" && !element.disabled && element.checkVisibility() &&
  [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
return shown.map((element) => {
  const [a, b] = [luminance(rgb(getComputedStyle(element).color)), luminance(behind(element))];
  return [element.className || element.tagName, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
});
"""

# Returns the differences between the editor and the coloured text below it.
OFFSETS = """
const [text] = document.querySelectorAll("#codemode-code");
const [code] = document.querySelectorAll(".codemode-highlight");
const names = ["fontFamily", "fontSize", "lineHeight", "letterSpacing", "paddingLeft", "paddingTop", "tabSize", "whiteSpace"];
const differing = names.filter((name) => getComputedStyle(text)[name] !== getComputedStyle(code)[name]);
const [over, under] = [text.getBoundingClientRect(), code.getBoundingClientRect()];
const [numbers] = document.querySelectorAll(".codemode-gutter pre");
if (getComputedStyle(numbers).overflowY !== "visible") differing.push("the numbers are cut off");
if (numbers.getBoundingClientRect().top !== under.top) differing.push("the numbers are elsewhere");
return [differing, over.left - text.scrollLeft - under.left, over.top - text.scrollTop - under.top,
        code.textContent === text.value, text.scrollLeft, text.scrollTop];
"""


@pytest.mark.parametrize(
    ("scheme", "theme", "is_dark"),
    [
        ("light", None, False),
        ("dark", None, True),
        ("light", "dark", True),
        ("dark", "light", False),
    ],
)
def test_all_text_can_be_read_in_the_theme_of_the_admin(
    page: Page, scheme: str, theme: str | None, is_dark: bool
) -> None:
    page.prefer(scheme)
    if theme is not None:
        page.script("localStorage.setItem('theme', arguments[0])", theme)
        page.open()
    page.run(EVERYTHING)

    contrasts = page.script(CONTRASTS)

    kinds = {kind for kind, _ in contrasts}
    for kind in "keyword string number comment builtin name-tool stderr".split():
        assert f"codemode-{kind}" in kinds
    assert [(kind, round(ratio, 1)) for kind, ratio in contrasts if ratio < 4.5] == []
    background = page.script("return getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(18, 18, 18)") is is_dark


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_shows_the_whole_page_without_scrolling_sideways(page: Page, width: int) -> None:
    page.resize(width, 740)
    page.open()
    page.run(EVERYTHING)

    assert page.script("return document.documentElement.scrollWidth") <= width
    for name in ("run", "cancel"):
        assert page.part(name).size["height"] >= 44
    editor, tools = page.part("code"), page.part("tools")
    assert editor.size["width"] > width * 0.75
    assert editor.size["height"] > 250
    assert page.part("result-heading").location["y"] < tools.location["y"]
    assert page.script("return parseFloat(getComputedStyle(arguments[0]).fontSize)", editor) >= 16


def test_keys_are_shown_where_there_is_a_keyboard(page: Page) -> None:
    keys = page.all("#codemode-keys kbd")[0]
    assert keys.is_displayed()
    page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        assert not keys.is_displayed()
    finally:
        page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def test_the_editor_grows_with_the_code_and_not_beyond_the_screen(page: Page) -> None:
    editor = page.part("code")
    empty = editor.size["height"]
    page.write("\n".join(f"line_{number}" for number in range(20)))
    assert editor.get_property("scrollHeight") == editor.get_property("clientHeight")
    assert editor.size["height"] > empty
    page.write("\n".join(f"line_{number}" for number in range(200)))
    assert editor.size["height"] < page.script("return innerHeight")


def test_a_table_of_many_columns_has_room_for_a_long_text(page: Page) -> None:
    page.run("[{str(n): n for n in range(30)} | {'note': 'a word ' * 20}]")
    rows = page.all(".codemode-table tbody tr")
    assert [row.size["height"] < 150 for row in rows] == [True]


def test_the_coloured_text_lies_exactly_under_the_text_that_is_edited(page: Page) -> None:
    page.write("\n".join(f"line_{number} = {'x' * 200!r}  # \u00e9\u4e2d" for number in range(60)))
    page.script("arguments[0].scrollTo(300, 400)", page.part("code"))

    # The browser reports the scrolling only with its next frame.
    wait_until(lambda: page.script(OFFSETS) == [[], 0, 0, True, 300, 400])
