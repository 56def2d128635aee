"""Exercises with hidden solutions that run, and questions that need no kernel."""

import ast
import asyncio
import re
import shutil
from pathlib import Path

import jupytext
import pytest
from browser import open_page
from lessons import LESSONS, LONG, exercises, questions, solutions
from server import serve

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "book" / "_static" / "self_check.js"
LETTERS = "ABCD"

each_chapter = pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)


@each_chapter
def test_a_chapter_has_four_exercises_and_at_most_two_for_the_curious(path):
    titles = [title.lower() for title, _, _ in exercises(path)]
    if path.stem in LONG:
        assert 4 <= len(titles) <= 6
        return
    curious = [title for title in titles if title.endswith(", for the curious")]
    assert len(curious) <= 2
    assert len(titles) == 4 + len(curious)
    assert titles[4:] == curious
    assert "predict" in titles[0]


@each_chapter
def test_an_exercise_has_something_to_reach_and_a_hint(path):
    for title, _, text in exercises(path):
        if path.stem in LONG:
            assert "*To reach:*" in text, title
        else:
            assert "```{dropdown} To reach" in text, title
        assert "```{dropdown} Hint" in text, title


@each_chapter
def test_every_exercise_has_a_hidden_solution_that_runs(path):
    labels = [label for _, label, _ in exercises(path)]
    assert list(solutions(path)) == labels
    for label, text in solutions(path).items():
        assert text.startswith(":class: dropdown\n"), label
        assert "```{code-cell}" in text, label


@each_chapter
def test_a_solution_says_or_asserts_its_number(path):
    cells = [c for c in jupytext.read(path).cells if c.cell_type == "code"]
    tagged = [c for c in cells if "solution" in c.metadata.get("tags", [])]
    inside = "".join(solutions(path).values()).count("```{code-cell}")
    assert len(tagged) == inside
    for text in solutions(path).values():
        code = "\n".join(re.findall(r"^```\{code-cell\}.*?^```$", text, re.M | re.S))
        assert re.search(r"\bassert|print\(|plots\.|plt\.", code), text


def test_labels_of_exercises_are_unique_in_the_book():
    labels = [label for path in LESSONS for _, label, _ in exercises(path)]
    assert len(labels) == len(set(labels))
    assert all(label.startswith("ex-") for label in labels)


@each_chapter
def test_a_chapter_asks_three_questions_with_one_right_answer_each(path):
    found = questions(path)
    assert len(found) == 3
    for text in found:
        options = re.findall(r"^- ([A-D])\. ", text, flags=re.M)
        assert options == list(LETTERS[: len(options)]), text
        assert 3 <= len(options) <= 4, text
        answer = text.split("```{dropdown} Answer\n")[1]
        assert re.match(r"\*\*([A-D])\.\*\* ", answer), text
        assert answer[2] in options, text


@pytest.mark.parametrize("chapters", [LESSONS], ids=["book"])
def test_the_right_answers_are_not_always_the_same_letter(chapters):
    letters = {
        text.split("```{dropdown} Answer\n")[1][2]
        for path in chapters
        for text in questions(path)
    }
    assert len(letters) > 2


@each_chapter
def test_the_solutions_are_valid_python(path):
    cells = jupytext.read(path).cells
    sources = [c.source for c in cells if "solution" in c.metadata.get("tags", [])]
    assert len(sources) >= len(exercises(path))
    for source in sources:
        assert ast.parse(source).body, "a solution without code"


QUESTION = """
<div class="self-check admonition"><p class="admonition-title">{title}</p>
<ul><li><p>A. one</p></li><li><p>B. two</p></li><li><p>C. three</p></li></ul>
<details><summary>Answer</summary><p><strong>{letter}.</strong> Because.</p></details>
</div>"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory, engine):
    """What a page with two questions does when they are answered by keyboard."""
    folder = tmp_path_factory.mktemp("page")
    shutil.copy(SCRIPT, folder / "self_check.js")
    body = QUESTION.format(title="First?", letter="B")
    body += QUESTION.format(title="Second?", letter="A")
    head = '<!doctype html><link rel="icon" href="data:,"><title>t</title>'
    script = '<script src="self_check.js"></script>'
    (folder / "index.html").write_text(head + body + script, encoding="utf-8")
    with serve(folder) as address:
        return asyncio.run(answer(address, engine))


async def answer(address: str, engine: str) -> dict:
    """Answer both questions by keyboard; the first one wrongly at first."""
    verdicts = "[...document.querySelectorAll('.verdict')].map(v => v.textContent)"
    seen = {}
    async with open_page(engine) as page:
        await page.visit(address)
        seen["groups"] = await page.value(
            "[...document.querySelectorAll('[role=radiogroup]')].map("
            "g => document.getElementById(g.getAttribute('aria-labelledby'))"
            ".textContent)"
        )
        for key in ("Tab", "Space"):
            await page.press(key)
        seen["wrong"] = await page.value(verdicts)
        seen["closed"] = await page.value("document.querySelector('details').open")
        await page.press("ArrowDown")
        seen["moved"] = await page.value(verdicts)
        await page.press("Space")
        seen["right"] = await page.value(verdicts)
        seen["open"] = await page.value("document.querySelector('details').open")
        for key in ("Tab", "Tab", "Space"):  # past the answer
            await page.press(key)
        seen["end"] = await page.value(verdicts)
        seen["complaints"] = page.complaints
    return seen


@pytest.mark.browser
def test_questions_are_groups_named_by_their_question(seen):
    assert seen["groups"] == ["First?", "Second?"]


@pytest.mark.browser
def test_a_wrong_choice_is_said_and_the_answer_stays_closed(seen):
    assert seen["wrong"][0].startswith("Not this one")
    assert not seen["closed"]


@pytest.mark.browser
def test_an_arrow_key_moves_and_answers_nothing(seen):
    assert seen["moved"] == seen["wrong"]


@pytest.mark.browser
def test_the_right_choice_opens_the_answer(seen):
    assert seen["right"][0] == "Right."
    assert seen["open"]


@pytest.mark.browser
def test_the_end_counts_what_was_right_at_the_first_try(seen):
    assert seen["end"][1] == "Right. 1 of 2 right at the first try."
    assert not seen["complaints"]
