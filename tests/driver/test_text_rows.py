"""The example programs that read text, from raw rows to predictions: they train, and a row alone is as among others."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

import bmc
from bmc.cli import main
from bmc_runtime.characters import lower, words

EXAMPLES = Path(__file__).parents[1] / "examples"
PLAIN = "the a film plot actor was is and of it I saw Yesterday naïve 中文 don't".split()  # noqa: SIM905
GOOD, BAD = ["great", "Lovely", "SUPERB"], ["awful", "boring", "Terrible"]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def reviews(rows: int) -> dict[str, list[object]]:
    """Texts whose one telling word says how many stars they give."""
    draw = random.Random(5)
    texts: list[object] = []
    stars: list[object] = []
    for row in range(rows):
        text = draw.choices(PLAIN, k=draw.randint(1, 12))
        text.insert(draw.randrange(len(text) + 1), draw.choice(GOOD if row % 2 else BAD))
        texts.append(draw.choice([" ", ", ", " — "]).join(text) + draw.choice(["", ".", "!", "…"]))
        stars.append(draw.choice([4, 5] if row % 2 else [1, 2]))
    return {"text": texts, "stars": stars}


def cli(*arguments: object) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == 0


def assert_alone_as_among_others(model: bmc.Model, columns: dict[str, list[object]], rows: int) -> None:
    whole = model.predict(columns)
    for chosen in (slice(0, 1), slice(rows // 2, rows // 2 + 3), slice(rows - 1, rows)):
        part = model.predict({name: values[chosen] for name, values in columns.items()})
        for name, values in part.items():
            assert values.tobytes() == whole[name][chosen].tobytes()


def encoder(pad: str = "pad(max = 32)") -> bmc.Program:
    """The example, small: places for 32 words, 60 words known."""
    text = (EXAMPLES / "encoder.bm").read_text(encoding="utf-8").replace("256", "32").replace("pad(max = 32)", pad)
    small = {"V": 60, "D": 16, "heads": 2, "depth": 1, "epochs": 8, "batch": 32, "optimizer": "adamw(lr = 1e-2)"}
    return bmc.compile(text, overrides=small)


@pytest.mark.parametrize("pad", ["pad(max = 32)", "pad(max = 32, bucket = 8)"])
def test_encoder_learns_from_words_of_its_vocabulary(pad: str) -> None:
    columns = reviews(300)
    model = encoder(pad).train(columns)
    assert model.evaluate("test").metrics["auc"] > 0.95
    texts = {"text": columns["text"]}
    assert_alone_as_among_others(model, texts, 300)
    # What is unknown is other, whichever it is; case does not count, and neither does what separates.
    same = model.predict({"text": ["a GREAT zzz film", "a great qqq film", "«A» gReAt: ẞß — film!!"]})["prediction"]
    assert same[0] == same[1] == same[2]


def test_the_vocabulary_is_by_count_then_bytes_and_goes_both_ways() -> None:
    columns = {"text": reviews(100)["text"], "stars": [1, 5] * 50}
    model = bmc.compile(TINY.replace("SOURCE", "csv")).train({"A": columns})
    counts: dict[str, int] = {}
    for text in columns["text"]:
        for word in words(lower(str(text))):
            counts[word] = counts.get(word, 0) + 1
    ranked = sorted(counts, key=lambda word: (-counts[word], word.encode()))
    vocabulary = model.vocabulary("tok")
    assert [part.decode() for part in vocabulary.parts] == ranked[:19]
    assert vocabulary.other == 19
    text = f"{ranked[2].upper()}, {ranked[0]}! Unheard"
    assert vocabulary.encode(text) == [2, 0, 19]
    assert vocabulary.decode([2, 0, 19]) == f"{ranked[2]} {ranked[0]} \ufffd"
    raw = model.vocabulary("raw")
    assert raw.decode(raw.encode("Né 中")) == "Né 中"
    # The model sees what `encode` gives.
    seen = model.predict({"text": [text]})
    assert seen["tok"][0][:3].tolist() == [2, 0, 19]
    assert not seen["tok"][0][3:].any()
    assert seen["raw"][0][: len(text.encode())].tolist() == raw.encode(text)[:24]
    with pytest.raises(bmc.BmcError, match="letters"):
        model.vocabulary("letters")


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_the_same_bits_from_each_format(form: str, tmp_path: Path) -> None:
    columns = reviews(200)
    path = tmp_path / f"reviews.{form}"
    table = pa.table(columns)
    if form == "parquet":
        pq.write_table(table, path)
    elif form == "csv":
        csv.write_csv(table, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    kind = "parquet" if form == "parquet" else form
    text = TINY.replace("SOURCE", kind)
    model = bmc.compile(text).train({"A": str(path)})
    memory = bmc.compile(text).train({"A": columns})
    assert {k: v.tobytes() for k, v in model.weights.items()} == {k: v.tobytes() for k, v in memory.weights.items()}
    opened = tmp_path / "m.bmz"
    model.save(opened)
    found = bmc.load(opened).predict({"text": columns["text"]})
    assert found["prediction"].tobytes() == memory.predict({"text": columns["text"]})["prediction"].tobytes()


TINY = """data A {
  source = SOURCE("a.x")
  columns {
    text: str
    stars: i32
  }
  let ids = text |> lower |> words |> vocab(max = 20)
  tok = ids |> pad(max = 16)
  letters = text |> chars |> hash(50) |> pad(max = 20)
  raw = text |> bytes |> pad(max = 24)
  len = length(ids) |> number
  y = stars >= 4
}
model M(tok: i32[B, T], letters: i32[B, S], raw: i32[B, R], len: float[B]) -> (logit: f32[B]) {
  a = tok |> embedding(20, 4) as words |> mean(axis = 1)
  b = letters |> embedding(50, 4) as chars |> mean(axis = 1)
  c = raw |> embedding(256, 4) as bytes |> mean(axis = 1)
  return concat(a, b, c, unsqueeze(len, 1)) |> dense(1) as out |> squeeze(-1)
}
train M on A {
  loss = bce(logit, y)
  predict = [prediction = sigmoid(logit), tok = number(A.tok), raw = A.raw]
  epochs = 2
}
"""


def test_siamese_brings_the_two_sides_of_a_pair_together() -> None:
    draw = random.Random(2)
    topics = [[f"{name}{k}" for k in range(6)] for name in ("cat", "ship", "tax", "rock", "leaf", "sun", "bolt", "milk")]
    pairs = [draw.choice(topics) for _ in range(600)]
    left, right = ([" ".join(draw.choices(topic, k=draw.randint(2, 5))) for topic in pairs] for _ in range(2))
    small = {"D": 16, "batch": 32, "epochs": 8, "optimizer": "adam(lr = 1e-2)"}
    program = bmc.compile((EXAMPLES / "siamese.bm").read_text(encoding="utf-8"), overrides=small)
    model = program.train({"a": left, "b": right})
    # The loss of 32 pairs of which none is told from another is log(32) = 3.5; a pair shares its topic with 3 others.
    assert model.history[-1]["valid.loss"] < 2.4
    assert_alone_as_among_others(model, {"a": left}, 600)  # the other side is not needed


def test_recurrent_learns_series_of_different_length() -> None:
    rng = np.random.default_rng(4)
    waves = [
        np.sin(np.arange(int(n))[:, None] * (0.2 + 0.1 * k) + np.arange(12)) for k in range(9) for n in rng.integers(6, 30, 20)
    ]
    series = [(wave + 0.05 * rng.normal(size=wave.shape)).astype(np.float32) for wave in waves]
    labels = [f"{row // 20 + 1}" for row in range(180)]
    order = rng.permutation(180)
    columns = {"series": [series[i] for i in order], "label": [labels[i] for i in order]}
    parts = {name: {key: values[part] for key, values in columns.items()} for name, part in PARTS.items()}
    small = {"H": 12, "depth": 1, "epochs": 15, "optimizer": "adam(lr = 1e-2)"}
    program = bmc.compile((EXAMPLES / "recurrent.bm").read_text(encoding="utf-8"), overrides=small)
    model = program.train(parts)
    assert model.evaluate("test").metrics["accuracy"] > 0.75
    raw = {"series": parts["test"]["series"]}
    whole = model.predict(raw)["prediction"]
    assert [model.predict({"series": [one]})["prediction"][0] for one in raw["series"][:5]] == list(whole[:5])


PARTS = {"train": slice(0, 140), "test": slice(140, 180)}


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    """A table with gaps, dates and users of whom some are rare."""
    draw = random.Random(9)
    lines = ["user_id,item_id,Sale Date,price,country,stars"]
    for _ in range(900):
        user, item = draw.choice([draw.randint(1, 30), draw.randint(10**9, 10**10)]), draw.randint(0, 40)
        day = f"{draw.choice([2020, 2021, 2022, 2023])}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
        price = draw.choice(["", "NA", f"{draw.uniform(1, 90):.2f}", f"{draw.uniform(1, 90):.2f}"])
        country = draw.choice(["FR", "DE", "", "US", "中国"])
        stars = 1 + (item % 3) + (1 if country == "FR" else 0) + draw.choice([0, 0, 0.5])
        lines.append(f"{user},i{item},{day},{price},{country},{stars}")
    (tmp_path / "ratings.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "fields.bm").write_text("let ORIGIN = 2015\n", encoding="utf-8")
    source = (EXAMPLES / "wide_deep.bm").read_text(encoding="utf-8")
    (tmp_path / "m.bm").write_text(source, encoding="utf-8")
    return tmp_path


def test_wide_deep_trains_and_predicts_by_the_command_line(ratings: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = {"USERS": 40, "ITEMS": 500, "dim": 2, "hidden": 8, "batch": 32, "epochs": 40}
    rates = '["users.*" = sgd(lr = 0.02), "*" = adam(lr = 2e-2)]'
    options = [part for name, value in {**sets, "optimizer": rates}.items() for part in ("--set", f"{name}={value}")]
    model = ratings / "m.bmz"
    cli("train", ratings / "m.bm", "-o", model, *options)
    capsys.readouterr()
    cli("eval", model, "--json")
    scores = json.loads(capsys.readouterr().out)
    assert scores["split"] == "test"
    assert scores["metrics"]["r2"] > 0.5
    table = (ratings / "ratings.csv").read_text(encoding="utf-8").splitlines()
    found = []
    for name, rows in (("all", table[1:]), ("one", table[5:6])):
        (ratings / f"{name}.csv").write_text(
            "\n".join([table[0].replace(",stars", ""), *(r.rpartition(",")[0] for r in rows)]) + "\n"
        )
        cli("predict", model, ratings / f"{name}.csv", "-o", ratings / f"{name}.npz")
        found.append(np.load(ratings / f"{name}.npz")["stars"])
    assert len(found[0]) == 900
    assert found[1].tobytes() == found[0][4:5].tobytes()


def test_skipgram_brings_words_of_a_topic_together(tmp_path: Path) -> None:
    draw = random.Random(0)
    topics = [[f"{name}{k}" for k in range(8)] for name in ("cat", "ship", "tax", "rock", "leaf", "sun")]
    text = [word for _ in range(2000) for word in draw.choices(draw.choice(topics), k=7)]
    (tmp_path / "text8.txt").write_text(" ".join(text), encoding="utf-8")
    small = {"V": 60, "D": 16, "epochs": 3, "batch": 128, "optimizer": "adam(lr = 1e-2)"}
    program = bmc.compile((EXAMPLES / "skipgram.bm").read_text(encoding="utf-8"), overrides=small)
    model = program.train({"Pairs": str(tmp_path / "text8.txt")})
    vocabulary = model.vocabulary("centre")
    assert len(vocabulary.parts) == 48
    rows = [["of", "the", part.decode(), "and", "a"] for part in vocabulary.parts]
    vectors = model.predict({"word": rows})["vector"]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = (unit @ unit.T - 2 * np.eye(48)).argmax(axis=1)
    kinds = [part.decode()[:-1] for part in vocabulary.parts]
    assert np.mean([kinds[i] == kinds[j] for i, j in enumerate(near)]) > 0.7  # 7 of 47 by chance
    assert model.predict({"word": rows[3:4]})["vector"].tobytes() == vectors[3:4].tobytes()
