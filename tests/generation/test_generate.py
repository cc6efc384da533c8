"""`bmc generate` and `model.generate`: prompts through the data block, settings, limits, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bmc
from bmc.cli import main
from bmc.errors import BmcError

SENTENCE = "the quick brown fox jumps over the lazy dog. pack my box with five dozen liquor jugs. "

PROGRAM = """let CTX = 16
data Text {
  source = npz("never-opened.npz")
  columns { COLUMN }
  all_of = CELLS
  tok = all_of[:, :CTX]
  y = all_of[:, 1:]
}
model LM(D = 24)(tok: i32[B, T]) -> (logits: f32[B, T, SIZE]) {
  x, _ = tok |> embedding(SIZE, D) as wte |> gru(48) as rnn
  return x |> dense(SIZE) as head
}
train LM on Text {
  loss = cross_entropy(logits, y)
  metrics = [ppl = exp(mean(cross_entropy(logits, y)))]
  optimizer = adam(lr = 2e-2)
  next = [tok = sample(logits[:, -1], temperature = 0.3, top_k = 10)]
  batch = 64
  epochs = EPOCHS
}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def program(column: str, cells: str, size: int, epochs: int = 1) -> str:
    text = PROGRAM.replace("COLUMN", column).replace("CELLS", cells).replace("SIZE", str(size))
    return text.replace("EPOCHS", str(epochs))


def windows(items: str, size: int = 17) -> list[str]:
    text = items * 30
    return [text[i : i + size] for i in range(0, len(text) - size, 3)]


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory: pytest.TempPathFactory) -> bmc.Model:
    rows = np.array([np.frombuffer(w.encode(), np.uint8) for w in windows(SENTENCE)])
    return bmc.compile(program("byte: u8[CTX + 1]", "byte", 256, epochs=20)).train({"byte": rows})


@pytest.fixture(scope="module")
def of_chars() -> bmc.Model:
    text = program("text: str", "text |> chars |> vocab(max = 32) |> pad(max = CTX + 1)", 32, epochs=3)
    return bmc.compile(text).train({"text": windows(SENTENCE)})


@pytest.fixture(scope="module")
def of_words() -> bmc.Model:
    text = program("text: str", "text |> lower |> words |> vocab(max = 20) |> pad(max = CTX + 1)", 20, epochs=3)
    return bmc.compile(text).train({"text": windows(SENTENCE, 120)})


@pytest.fixture(scope="module")
def of_numbers() -> bmc.Model:
    rows = (np.arange(17)[None] + np.arange(300)[:, None]) % 9
    return bmc.compile(program("n: i32[CTX + 1]", "n |> category(9)", 9, epochs=20)).train({"n": rows.astype(np.int32)})


def test_a_text_that_was_learned_goes_on(of_bytes: bmc.Model) -> None:
    assert of_bytes.generate("the quick bro", 60, temperature=0) == (SENTENCE * 2)[13:73]
    assert of_bytes.generate(b"the quick bro", 7, temperature=0) == b"wn fox "
    ids = list(b"the quick bro")
    assert bytes(of_bytes.generate(ids, 7, temperature=0).tolist()) == b"wn fox "  # type: ignore[union-attr]
    several = of_bytes.generate([ids, list(b"pack my box w")], 7, temperature=0)
    assert [bytes(row.tolist()) for row in several] == [b"wn fox ", b"ith fiv"]  # type: ignore[union-attr]


def test_numbers_go_on(of_numbers: bmc.Model) -> None:
    assert of_numbers.generate("3 4 5", 6, temperature=0) == " 6 7 8 0 1 2"


@pytest.mark.parametrize("name", ["of_bytes", "of_chars", "of_words"])
def test_kept_and_recomputed_are_one_text(name: str, request: pytest.FixtureRequest) -> None:
    model: bmc.Model = request.getfixturevalue(name)
    kept = model.generate("the quick", 90, temperature=3, seed=5)
    assert kept == model.generate("the quick", 90, temperature=3, seed=5, cache=False)
    assert kept != model.generate("the quick", 90, temperature=3, seed=6)
    for seed in (-1, 2**62):
        with pytest.raises(ValueError, match="a seed is a whole number"):
            model.generate("the quick", 90, seed=seed)


def test_the_file_gives_the_settings_that_are_not_given(of_chars: bmc.Model) -> None:
    same = of_chars.generate("the", 50, temperature=0.3, top_k=10)
    assert of_chars.generate("the", 50) == same
    assert of_chars.generate("the", 50, temperature=4, top_k=None) != same


def test_words_are_cut_as_in_training(of_words: bmc.Model) -> None:
    """In lower case, whatever stands between; what follows are words of the vocabulary."""
    found = of_words.generate("THE, quick!", 12)
    assert found == of_words.generate("the quick", 12)
    assert isinstance(found, str)
    assert set(found.split()) <= {*SENTENCE.replace(".", "").split(), "\ufffd"}


def test_a_saved_model_generates_the_same(of_chars: bmc.Model, tmp_path: Path) -> None:
    of_chars.save(tmp_path / "m.bmz")
    assert bmc.load(tmp_path / "m.bmz").generate("the quick", 40, seed=2) == of_chars.generate("the quick", 40, seed=2)


def test_perplexity_is_that_of_the_whole_split(of_chars: bmc.Model) -> None:
    """exp of the mean over all positions of all rows, whatever the batches: both are sums in f64, divided and raised once, so they
    agree to a few roundings of f64."""
    rows = windows(SENTENCE)[:1500]
    found = of_chars.evaluate("train", {"text": rows})
    assert found.metrics["ppl"] == pytest.approx(np.exp(found.loss), rel=1e-12)
    # Other batches of rows: not one bit of difference.
    again = of_chars.evaluate("train", {"text": rows})
    assert again.metrics["ppl"] == found.metrics["ppl"]


@pytest.mark.parametrize(
    ("name", "prompt", "given", "code"),
    [
        ("of_bytes", "", {}, "E0831"),
        ("of_words", "...", {}, "E0831"),
        ("of_numbers", "3 4 five", {}, "E0832"),
        ("of_numbers", "3 4 9", {}, "E0813"),
        ("of_numbers", "3 99999999999", {}, "E0832"),
        ("of_chars", b"\xff\xfe", {}, "E0832"),
        ("of_bytes", [3, 256], {}, "E0832"),
        ("of_bytes", [], {}, "E0831"),
        ("of_bytes", [0.5], {}, "E0832"),
        ("of_bytes", "a", {"temperatur": 1.0}, "E0834"),
        ("of_bytes", "a", {"temperature": -1.0}, "E0834"),
        ("of_bytes", "a", {"temperature": None}, "E0834"),
        ("of_bytes", "a", {"temperature": float("nan")}, "E0834"),
        ("of_bytes", "a", {"top_k": 2.5}, "E0834"),
        ("of_bytes", "a", {"top_p": 0.0}, "E0834"),
    ],
)
def test_what_cannot_be_continued(
    name: str, prompt: object, given: dict[str, float], code: str, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(BmcError) as caught:
        request.getfixturevalue(name).generate(prompt, 5, **given)
    assert [d.code for d in caught.value.diagnostics] == [code]


def test_a_model_without_next(of_numbers: bmc.Model) -> None:
    text = program("n: i32[CTX + 1]", "n |> category(9)", 9).replace("next =", "# next =")
    model = bmc.compile(text).train({"n": np.zeros((80, 17), np.int32)})
    with pytest.raises(BmcError) as caught:
        model.generate("1 2", 3)
    assert caught.value.diagnostics[0].code == "E0830"


def test_a_table_of_positions_ends() -> None:
    text = program("n: i32[CTX + 1]", "n |> category(9)", 9).replace(
        "x, _ = tok |> embedding(9, D) as wte |> gru(48) as rnn",
        "param pos: float[20, D] = normal(std = 0.1)\n  x = (tok |> embedding(9, D) as wte) + pos[:T]",
    )
    model = bmc.compile(text).train({"n": np.zeros((80, 17), np.int32)})
    assert len(str(model.generate("1 2 3", 18)).split()) == 18  # the last one is not read any more
    with pytest.raises(BmcError) as caught:
        model.generate("1 2 3", 19)
    (found,) = caught.value.diagnostics
    assert found.code == "E0833"
    assert "at most 20 positions" in found.message
    assert found.span is not None
    assert found.span.text == "pos[:T]"


def test_text_that_takes_another_way() -> None:
    """Integers by a hash of the row's text stand for nothing and go on as numbers; from two columns there is no way at all."""
    hashed = program("text: str", "text |> words |> hash(11) |> pad(max = CTX + 1)", 11)
    model = bmc.compile(hashed).train({"text": windows(SENTENCE, 120)})
    found = model.generate("the quick brown", 5)
    assert isinstance(found, str)
    assert all(0 <= int(word) < 11 for word in found.split())
    both = program("n: i32[CTX + 1]; m: i32[CTX + 1]", "(n + m) |> category(9)", 9)
    rows = np.zeros((80, 17), np.int32)
    model = bmc.compile(both).train({"n": rows, "m": rows})
    assert len(model.generate([1, 2], 4)) == 4
    with pytest.raises(BmcError) as caught:
        model.generate("1 2", 4)
    assert caught.value.diagnostics[0].code == "E0835"


def test_the_command_line(of_chars: bmc.Model, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    of_chars.save(tmp_path / "m.bmz")

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["generate", str(tmp_path / "m.bmz"), *arguments])
        done = capfd.readouterr()
        return int(ended.value.code or 0), done.out, done.err

    text = of_chars.generate("the quick", 30, seed=4, temperature=0.9, top_k=None)
    options = ("--tokens", "30", "--seed", "4", "--set", "temperature=0.9", "--set", "top_k=none")
    assert run("--prompt", "the quick", *options) == (0, f"the quick{text}\n", "")
    assert run("--prompt", "the quick", "--no-cache", *options) == (0, f"the quick{text}\n", "")
    code, out, err = run("--prompt", "th\u00e4", "--tokens", "2")
    assert (code, out[:3]) == (0, "th\u00e4")
    assert "W0830" in err
    assert run("--prompt", "x", "--set", "temperature=warm")[0] == 2
    assert run("--prompt", "", "--tokens", "2")[0] == 3
    assert run("--tokens", "2")[0] == 2


def test_the_example_of_a_gpt(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """tests/examples/gpt.bm, small, from a file of bytes to a text, through the command line."""
    source = tmp_path / "gpt.bm"
    source.write_bytes((Path(__file__).parents[1] / "examples" / "gpt.bm").read_bytes())
    (tmp_path / "corpus.txt").write_text(SENTENCE * 60, encoding="utf-8")

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        done = capfd.readouterr()
        assert not ended.value.code, done.err
        return done.out

    small = ["CTX=16", "D=32", "heads=4", "groups=2", "depth=2", "steps=60", "batch=8"]
    run("train", str(source), "-o", str(tmp_path / "gpt.bmz"), *(part for one in small for part in ("--set", one)))
    options = (str(tmp_path / "gpt.bmz"), "--prompt", "the qu", "--tokens", "60", "--set", "temperature=1.5")
    assert run("generate", *options) == run("generate", *options, "--no-cache")
    assert "ppl" in run("eval", str(tmp_path / "gpt.bmz"), "--split", "valid", "--json")
