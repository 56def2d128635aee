"""The three engines: what a tab does for a test, and that it overhears nothing less."""

import asyncio
from urllib.parse import urlsplit

import browser
import pytest
from browser import ENGINES, open_page, require_engine
from selenium.common import WebDriverException
from server import serve

HEAD = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>page</title>'
HEAD += '<link rel="icon" href="data:,">'
HEAD += '<meta name="viewport" content="width=device-width">'
FAULTS = """<body><script>
console.log("only told"); console.warn("warned"); console.error("failed");
setTimeout(() => { throw new Error("thrown"); });
Promise.reject(new Error("rejected"));
</script><img src="missing.png" alt=""><img src="http://example.invalid/a.png" alt="">
<script>const own = 7;</script>"""
STRICT = """<meta http-equiv="Content-Security-Policy"
content="default-src 'none'; img-src data:; script-src 'unsafe-inline'">
<body><script>fetch("faults.html").catch(() => {})</script>"""
KEYS = """<style>html { touch-action: none }</style>
<body><button>one</button><input><script>
const keys = [], moves = [], told = (event) => keys.push([event.key, event.ctrlKey]);
addEventListener("keydown", told);
for (const kind of ["pointerdown", "pointermove", "pointerup"])
  addEventListener(kind, ({ pointerType, clientX, clientY, buttons }) =>
    moves.push([kind.slice(7), pointerType, clientX, clientY, buttons]));
</script>"""
MEDIA = """["(prefers-color-scheme: dark)", "print", "(forced-colors: active)",
  "(prefers-reduced-motion: reduce)"].map((query) => matchMedia(query).matches)"""


async def survey(address: str, engine: str) -> dict:
    """Visit pages with known faults; press, drag and look in every way."""
    seen = {}
    async with open_page(engine) as page:
        await page.visit(f"{address}/faults.html", width=320)
        seen["widths"] = [await page.value("innerWidth")]
        seen["values"] = [
            await page.value("own"),
            await page.value("new Promise((done) => setTimeout(done, 9, [1, null]))"),
            await page.value("undefined"),
            await page.value("1, 2"),
        ]
        with pytest.raises(WebDriverException) as seen["error"]:
            await page.value("nowhere.atAll")
        await page.run("const two = 2; window.sum = own + two;")
        seen["values"].append(await page.value("sum"))
        seen["requests"], seen["failures"] = page.requests[:], page.failures[:]
        seen["complaints"], seen["bytes"] = page.complaints[:], dict(page.bytes)
        page.complaints.clear()
        await page.visit(f"{address}/strict.html", dark=True)
        seen["widths"].append(await page.value("innerWidth"))
        seen["media"] = {"dark": await page.value(MEDIA)}
        seen["forbidden"] = page.complaints[:]
        await page.visit(f"{address}/keys.html")
        for key in ("Tab", "Enter", "Tab", "a", "Space", "ArrowLeft"):
            await page.press(key)
        await page.press("k", control=True)
        seen["keys"], seen["typed"] = await page.value(
            "[keys.splice(0), document.querySelector('input').value]"
        )
        await page.drag((9, 90), (30, 60))
        seen["mouse"] = await page.value("moves.splice(0)")
        await page.drag((9, 90), (30, 60), finger=True)
        seen["finger"] = await page.value("moves.splice(0)")
        page.requests.clear()
        await page.reload()
        seen["again"] = page.requests[:]
        seen["media"]["light"] = await page.value(MEDIA)
        for kind in ("paper", "forced", "still") if page.emulates_media else ():
            await page.show(width=640, dark=False, **{kind: True})
            seen["media"][kind] = await page.value(MEDIA)
    seen["closed"] = page.complaints
    return seen


@pytest.fixture(scope="module")
def seen(engine, tmp_path_factory):
    """What an engine makes of three pages."""
    folder = tmp_path_factory.mktemp("pages")
    for name, body in (("faults", FAULTS), ("strict", STRICT), ("keys", KEYS)):
        (folder / f"{name}.html").write_text(HEAD + body, encoding="utf-8")
    with serve(folder) as address:
        return asyncio.run(survey(address, engine))


@pytest.mark.browser
def test_every_request_is_seen_also_to_other_hosts_and_what_failed_and_its_bytes(seen):
    asked = {urlsplit(url).path.rsplit("/", 1)[-1] for url in seen["requests"]}
    assert asked - {","} == {"faults.html", "missing.png", "a.png"}
    assert "http://example.invalid/a.png" in seen["requests"]
    assert len(seen["failures"]) == 2
    assert any(failure.endswith("/missing.png") for failure in seen["failures"])
    sizes = {urlsplit(url).path: size for url, size in seen["bytes"].items()}
    assert len(HEAD + FAULTS) < sizes["/faults.html"] < len(HEAD + FAULTS) + 400


@pytest.mark.browser
@pytest.mark.parametrize("words", ["warned", "failed", "thrown", "rejected"])
def test_every_complaint_is_heard(seen, words):
    assert any(words in complaint for complaint in seen["complaints"])


@pytest.mark.browser
def test_what_is_only_told_is_no_complaint_and_complaints_outlive_the_browser(seen):
    assert not [c for c in seen["complaints"] if "only told" in c]
    assert seen["closed"][: len(seen["forbidden"])] == seen["forbidden"]


@pytest.mark.browser
def test_what_a_policy_forbids_is_heard(seen):
    assert any("connect-src" in complaint for complaint in seen["forbidden"])


@pytest.mark.browser
def test_a_value_is_awaited_and_an_error_is_raised(seen):
    assert seen["values"] == [7, [1, None], None, 2, 9]
    assert "nowhere" in str(seen["error"].value)


@pytest.mark.browser
def test_a_window_is_as_wide_and_as_dark_as_it_is_asked_to_be(seen):
    assert seen["widths"] == [320, 1280]
    assert seen["media"].pop("light") == [False, False, False, False]
    assert seen["media"].pop("dark") == [True, False, False, False]


@pytest.mark.browser
def test_paper_forced_colours_and_rest_can_be_had_but_in_webkit(seen, engine):
    kinds = {k: seen["media"].get(k) for k in ("paper", "forced", "still")}
    places = {"paper": 1, "forced": 2, "still": 3}
    if engine == "webkit":
        assert kinds == dict.fromkeys(places)
    else:
        for kind, place in places.items():
            assert kinds[kind] == [place == each for each in range(4)]


@pytest.mark.browser
def test_keys_are_pressed_as_on_a_keyboard(seen):
    names = ["Tab", "Enter", "Tab", "a", " ", "ArrowLeft", "Control", "k"]
    assert seen["keys"] == [[n, n in ("Control", "k")] for n in names]
    assert seen["typed"] == "a "


@pytest.mark.browser
def test_a_pointer_is_dragged_and_only_webkit_takes_a_finger_for_a_mouse(seen, engine):
    for kind in ("mouse", "finger"):
        moves = [move for move in seen[kind] if move[4] or move[0] == "up"]
        steps = [["down", 9, 90], ["move", 30, 60], ["up", 30, 60]]
        assert [[kind, x, y] for kind, _, x, y, _ in moves] == steps
        touched = kind == "finger" and engine != "webkit"
        assert {move[1] for move in moves} == {"touch" if touched else "mouse"}


@pytest.mark.browser
def test_a_page_can_be_loaded_again(seen):
    assert [urlsplit(u).path for u in seen["again"] if "keys" in u] == ["/keys.html"]


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(("ci", "result"), [("true", "Failed"), ("", "Skipped")])
def test_a_missing_engine_fails_in_ci_and_elsewhere_is_skipped_with_a_remedy(
    name, ci, result, monkeypatch
):
    kind, _, packages = ENGINES[name]
    monkeypatch.setitem(browser.ENGINES, name, (kind, lambda: (None,), packages))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(BaseException) as error:
        require_engine(name)
    assert type(error.value).__name__ == result
    assert str(error.value) == f"{name} is not installed: apt-get install {packages}"
