"""`check --fix`: what is certain is changed, nothing gets worse, and the slip of a finger becomes the text that it was."""

from __future__ import annotations

import pytest

from bmc.driver.fixing import count_errors, fixed
from bmc.driver.load import SourceText, check_source
from bmc.source import SourceFile
from tests.mutation.judging import judged
from tests.mutation.programs import programs

PROGRAM = """\
data D {
  source = npz("d.npz")
  columns { image: f32[8]; label: i32 }
  x = image / 255
  y = label |> category(3)
}
model Net(hidden = 8)(x: f32[B, 8]) -> (logits: f32[B, 3]) {
  h = x |> dense(hidden) as up |> relu
  return h |> dense(3, bias = false) as out
}
train Net on D {
  loss = cross_entropy(logits, y)
  batch = 32
  metrics = [
    accuracy(logits, y),
    hit = mean(number(argmax(logits) == y)),
  ]
}
"""

CASES = {
    "a name": ("category(3)", "catgeory(3)"),
    "an argument": ("bias = false", "bais = false"),
    "a setting": ("batch = 32", "bacth = 32"),
    "a keyword": ("return h", "retrun h"),
    "a type": ("label: i32 }", "label: int }"),
    "another framework's layer": ("|> relu", "|> ReLU"),
    "with its module": ("dense(3, bias", "nn.Linear(3, bias"),
    "another framework's setting": ("batch = 32", "batch_size = 32"),
    "a comma at the end of a line": ("accuracy(logits, y),\n", "accuracy(logits, y)\n"),
    "a comma before a key": ("dense(3, bias", "dense(3 bias"),
    "a brace": ("on D {", "on D"),
    "a colon for an equal sign": ("batch = 32", "batch : 32"),
    "two equal signs": ("batch = 32", "batch == 32"),
    "an equal sign for a colon": ("label: i32 }", "label= i32 }"),
    "other quotes": ('"d.npz"', "'d.npz'"),
    "half a pipe": ("label |> category", "label | category"),
    "a clause": ("source = npz", "sorce = npz"),
}


def mended(text: str) -> tuple[str, int]:
    result = fixed(SourceText(SourceFile("m.bm", text)))
    return result.text, count_errors(result.checked)


@pytest.mark.parametrize("name", CASES)
def test_what_is_certain_is_changed(name: str) -> None:
    right, wrong = CASES[name]
    assert right in PROGRAM
    text, errors = mended(PROGRAM.replace(right, wrong, 1))
    assert errors == 0
    assert text.replace(" :", ":") == PROGRAM.replace(" :", ":")


def test_the_forms_of_the_language_are_written_out() -> None:
    text, errors = mended(PROGRAM.replace("x = image / 255", "x = image |> log1p / 255\n  where 0 < label < 2"))
    assert errors == 0
    assert "x = (image |> log1p) / 255\n" in text
    assert "where 0 < label and label < 2\n" in text


def test_several_mistakes_are_mended_one_behind_the_other() -> None:
    """Those of syntax hide the others."""
    wrong = PROGRAM.replace("batch = 32", "bacth == 32").replace("|> relu", "|> ReLU")
    wrong = wrong.replace("accuracy(logits, y),", "acuracy(logits, y)")
    assert mended(wrong) == (PROGRAM, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        # Two are as near; and which of both is misspelt?
        PROGRAM.replace("dense(hidden)", "dense(hiddn)").replace("Net(hidden = 8)", "Net(hidden = 8, hiddex = 8)"),
        PROGRAM.replace("h = x |>", "heads = x |>").replace("return h |>", "return head |>"),
        PROGRAM.replace("dense(3, bias", "dense(3 + bias"),
        PROGRAM.replace("category(3)", "category(4)"),
        PROGRAM,
    ],
)
def test_what_is_not_certain_is_left(wrong: str) -> None:
    assert mended(wrong)[0] == wrong


TYPOS = ("used_name", "called_name", "setting", "argument", "clause", "type_name", "keyword", "no_comma", "two_equals")


def never_worse(count: int, seed: int) -> None:
    originals = {p.name: p.text for p in programs()}
    changed = restored = 0
    for verdict in judged(count, seed):
        mutant = verdict.mutant
        source = SourceText(SourceFile(mutant.program, mutant.text))
        result = fixed(source)
        before = count_errors(check_source(source))
        assert count_errors(result.checked) <= before, mutant
        assert bool(result.changes) == (result.text != mutant.text)
        if result.changes and mutant.kind in TYPOS:
            changed += 1
            restored += result.text == originals[mutant.program]
    assert changed >= count / 20
    assert restored >= 0.95 * changed


def test_a_few_mutants_are_never_worse() -> None:
    never_worse(80, seed=4)


@pytest.mark.slow
def test_many_mutants_are_never_worse() -> None:
    never_worse(1500, seed=5)
