"""Test scores of the default settings on six public tables, beside scikit-learn's nets of the same size.

    python benchmarks/tables.py [NAME...] [--seeds N] [--hidden 32 100]

The tables come with scikit-learn and mlxtend, or lie in models/. Each is cut 70/10/20 at random, anew for each seed. bmc trains by
`train M on D {}`: nothing is written but the columns, `standardize`, `onehot` and one hidden layer. scikit-learn's MLPClassifier
and MLPRegressor, as they are but for the size and the seed, are given the same rows as bmc's data block makes them: standardized
by the same training rows, the same categories, the same unit of y. They train on the training rows ("train"), and once more on
those and the 10 % by which bmc chooses its epoch ("both"), since they hold none back.

Bound (exit status 1 if missed): the mean over the seeds is at most a point of accuracy, or 0.01 of R², below scikit-learn's on the
same training rows.
"""

import csv
import sys
import warnings
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

import bmc
from bmc.driver.load import find_source, load_unit
from bmc.driver.session import Session
from bmc.driver.workflow import prepare

MODELS = Path(__file__).parents[1] / "models"
AT_MOST = 0.01
Rows = list[list[str]]


@dataclass(frozen=True)
class Table:
    """`numbers`, `texts`: columns of the inputs. `target`: the column that is learned, a class of `classes` or a number (0)."""

    read: Callable[[], tuple[list[str], Rows]]
    target: str
    classes: int = 0
    texts: tuple[str, ...] = ()
    log: bool = False


def of_sklearn(load: Callable[..., Any]) -> Callable[[], tuple[list[str], Rows]]:
    def read() -> tuple[list[str], Rows]:
        found = load()
        header = [f"c{i}" for i in range(found.data.shape[1])]
        rows = [[repr(float(v)) for v in row] for row in found.data]
        return [*header, "target"], [[*row, str(t)] for row, t in zip(rows, found.target.tolist(), strict=True)]

    return read


def boston() -> tuple[list[str], Rows]:
    text = files("mlxtend").joinpath("data/data/boston_housing.csv").read_text()
    rows = [line.split(",") for line in text.strip().splitlines()]
    return [*(f"c{i}" for i in range(13)), "target"], rows


def of_file(path: Path) -> Callable[[], tuple[list[str], Rows]]:
    def read() -> tuple[list[str], Rows]:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        return header, rows

    return read


TABLES = {
    "wine": Table(of_sklearn(datasets.load_wine), "target", 3),
    "breast_cancer": Table(of_sklearn(datasets.load_breast_cancer), "target", 2),
    "digits": Table(of_sklearn(datasets.load_digits), "target", 10),
    "diabetes": Table(of_sklearn(datasets.load_diabetes), "target"),
    "boston": Table(boston, "target"),
    "diamonds": Table(of_file(MODELS / "diamonds" / "diamonds.csv"), "price", 0, ("cut", "color", "clarity"), log=True),
}


def program(table: Table, header: list[str], hidden: int) -> str:
    inputs = [name for name in header if name != table.target]
    columns = "; ".join(f"{name}: {'str' if name in table.texts else 'f32'}" for name in inputs)
    made = ", ".join(f"{n} |> onehot(max = 10)" if n in table.texts else f"{n} |> standardize" for n in inputs if n in header)
    inputs_text = made if not table.texts and len(inputs) == 1 else f"concat({made})"
    parts = [inputs_text.replace(" |> standardize, ", " |> standardize,\n    ")]
    y = f"{table.target} |> category({table.classes})" if table.classes else f"{table.target} |> {'log |> ' * table.log}standardize"
    outputs = table.classes or 1
    shape, end = (f"f32[B, {table.classes}]", "") if table.classes else ("f32[B]", " |> squeeze(-1)")
    return f"""data D {{
  source = [train = csv("train.csv"), valid = csv("valid.csv"), test = csv("test.csv")]
  columns {{ {columns}; {table.target}: {"i32" if table.classes else "f32"} }}
  x = {"".join(parts)}
  y = {y}
}}
model M(x: f32[B, F]) -> (out: {shape}) {{ return x |> dense({hidden}) as fc |> relu |> dense({outputs}) as out{end} }}
train M on D {{}}
"""


def scored(table: Table, answer: Any, truth: Any) -> float:
    """Accuracy, or R² (of the logarithm, where that is learned)."""
    if table.classes:
        return float((answer == truth).mean())
    return float(1 - ((answer - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum())


def once(table: Table, header: list[str], rows: Rows, hidden: int, seed: int, folder: Path) -> tuple[float, float, float]:
    """Test scores of bmc, of scikit-learn on the training rows, and on those and the validation rows."""
    order = np.random.default_rng(seed).permutation(len(rows))
    first, second = int(0.7 * len(rows)), int(0.8 * len(rows))
    for name, part in (("train", order[:first]), ("valid", order[first:second]), ("test", order[second:])):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *(rows[i] for i in part)])
    source = folder / "m.bm"
    source.write_text(program(table, header, hidden), encoding="utf-8")
    overrides = {"seed": str(seed)}
    session = Session(load_unit(find_source(str(source), overrides)))
    splits = {name: dict(split.data) for name, split in prepare(session, {}).items()}
    model = bmc.compile(source, overrides={"seed": seed}).train()
    with (folder / "test.csv").open(newline="", encoding="utf-8") as file:
        raw = list(csv.DictReader(file))
    columns = {n: [r[n] if n in table.texts else float(r[n]) for r in raw] for n in header if n != table.target}
    out = model.predict(columns)["out"]
    test = splits["test"]
    ours = scored(table, out.argmax(-1) if table.classes else out, test["y"])
    theirs = []
    for parts in (["train"], ["train", "valid"]):
        x, y = (np.concatenate([splits[p][key] for p in parts]) for key in ("x", "y"))
        kind = MLPClassifier if table.classes else MLPRegressor
        net = kind(hidden_layer_sizes=(hidden,), random_state=seed).fit(x, y)
        theirs.append(scored(table, net.predict(test["x"]), test["y"]))
    return ours, theirs[0], theirs[1]


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(TABLES)} (all by default)")
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="splits and trainings of each (default 10)")
    parser.add_argument("--hidden", type=int, nargs="+", default=[100], metavar="N", help="units of the hidden layer (default 100)")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    kept = True
    for name in chosen.names or TABLES:
        table = TABLES[name]
        header, rows = table.read()
        for hidden in chosen.hidden:
            with TemporaryDirectory() as folder:
                found = [once(table, header, rows, hidden, seed, Path(folder)) for seed in range(chosen.seeds)]
            ours, train, both = (fmean(f[i] for f in found) for i in range(3))
            good = ours >= train - AT_MOST
            kept = kept and good
            print(
                f"{name:14} {len(rows):6,} rows  {'accuracy' if table.classes else 'R²':8}  hidden {hidden:3}  bmc {ours:.4f}  "
                f"scikit-learn train {train:.4f}, both {both:.4f}  {'kept' if good else 'MISSED'}",
                flush=True,
            )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
