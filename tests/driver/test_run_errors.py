"""The full text of each error of a run."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import pytest

from bmc.driver import generation_errors, run_errors
from bmc.driver.profiling import profiling_errors
from bmc.driver.profiling.profiling_errors import unfit_target
from bmc.errors import Diagnostic
from bmc.errors.catalogue.run import ENTRIES
from bmc.errors.render import render_all
from bmc.source import SourceFile, Span

FILE = SourceFile("m.bm", "data D {\n  source = csv(\"d.csv\")\n  y = log(price)\n}\n")


def at(text: str) -> Span:
    start = FILE.text.index(text)
    return Span(FILE, start, start + len(text))


CASES: dict[str, Diagnostic] = {
    "E0801-folder": run_errors.cannot_write("out/m.bmz", "there is no folder 'out'"),
    "E0802-operation": run_errors.not_finite(3, 1, "log", "an infinity", (at("log(price)"),), gradient=False),
    "E0802-gradient": run_errors.not_finite(3, 1, "log", "NaN", (at("log(price)"), at("price")), gradient=True),
    "E0802-nowhere": run_errors.not_finite(3, 1, "log", "NaN", (), gradient=False),
    "E0802-replayed": run_errors.not_finite(3, 1, None, "", (), gradient=False),
    "E0802-input": run_errors.input_not_finite(3, 1, "x", "NaN", 7),
    "E0802-weight": run_errors.weight_not_finite(3, 1, "fc.w", "NaN", at("price")),
    "E0802-weight-nowhere": run_errors.weight_not_finite(3, 1, "fc.w@m", "an infinity", None),
    "E0805-split": run_errors.split_without_rows("valid", at('csv("d.csv")')),
    "E0805-time": run_errors.split_without_rows("valid", at('csv("d.csv")'), {"train": 20030, "valid": 0, "test": 0}, "time"),
    "E0805-nowhere": run_errors.split_without_rows("train", None),
    "E0806-worker": run_errors.worker_lost("worker 12 ended with code -9"),
    "E0807-split": run_errors.no_such_split("tset", ["train", "test", "all"]),
    "E0808-model": run_errors.nothing_to_train("M"),
    "E0809-columns": run_errors.columns_do_not_fit("'b' is not given", ("columns: a, b",)),
    "E0810-weights": run_errors.weights_do_not_fit("there is no weight 'fc.v'", ("keys are: fc.w, fc.b",)),
    "E0811-data": run_errors.data_not_at_hand("d", "d.csv", ["/data", "/home"]),
    "E0812-trained": run_errors.not_trained("M"),
    "E0812-stage": run_errors.no_such_choice("stage", "grpah", ["ast", "graph"]),
    "E0813-text": run_errors.outside_bound("y", 3, -1, "d.csv", 5),
    "E0813-number": run_errors.outside_bound("y", 3, 7, "", 5),
    "E0815-statistic": run_errors.fitted_not_finite("fit(mean(a))", 1200, ["a", "a.valid", "b"], at("price")),
    "E0830-train": generation_errors.no_next("LM", trained=True),
    "E0830-alone": generation_errors.no_next("LM", trained=False),
    "E0831-empty": generation_errors.empty_prompt(at("log(price)")),
    "E0832-range": generation_errors.bad_prompt("it has 300, outside 0..255", at("log(price)")),
    "E0833-tokens": generation_errors.too_long(10, 300, 256, at("price")),
    "E0833-prompt": generation_errors.too_long(300, 1, 256, None),
    "E0834-name": generation_errors.no_such_setting("temp", ["temperature", "top_k"], at("log(price)")),
    "E0834-none": generation_errors.no_such_setting("heat", [], None),
    "E0834-value": generation_errors.bad_setting("top_p", "a probability, above 0 and at most 1, or `none`", 1.5, at("price")),
    "E0835-text": generation_errors.no_text("tok", at("price")),
    "E0836-limit": run_errors.beyond_limit("`pos[:T]` wants T <= 16, with T = 20", (at("log(price)"),), at("price")),
    "E0836-nowhere": run_errors.beyond_limit("a slice of f32[16] wants T <= 16, with T = 20", (), None),
    "E0842": run_errors.fit_needs_all_rows("fit(sort(a))", 300_000_000, 5 << 30, at("price")),
    "E0841": run_errors.no_work_file("/var/tmp", "No space left on device"),
    "W0630-grows": generation_errors.grows("tok", "reduce_sum", (at("log(price)"),), at("price")),
    "W0630-nowhere": generation_errors.grows("tok", "reduce_sum", (), at("price")),
    "W0830-chars": generation_errors.unknown_cells("chars", list("äöüßéèêñ¿¡")),
    "E0814-rows": run_errors.rows_do_not_split("sort", (at("log(price)"),)),
    "E0816-matplotlib": run_errors.library_missing("matplotlib", "drawing", "plot"),
    "E0817-ending": run_errors.no_picture("a.bmp", [".png", ".pdf"]),
    "E0850-identity": unfit_target("id", "each row has its own: it says which row it is", ["price", "city"]),
    "E0850-nothing": unfit_target(None, "no column has numbers or a few categories", []),
    "E0819-there": run_errors.no_project("houses", "it is there already, and not empty"),
    "E0818-nothing": run_errors.nothing_to_draw("m.bmz"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_text_of_an_error(name: str, golden: Callable[[str, str], None]) -> None:
    found = CASES[name]
    assert found.code == name.partition("-")[0]
    golden(name, render_all([found]))


def test_every_error_of_a_run_has_a_case() -> None:
    tested = {name.partition("-")[0] for name in CASES} - {"W0630"}  # of `check`
    explained = {entry.code for entry in ENTRIES}
    sources = inspect.getsource(run_errors) + inspect.getsource(generation_errors) + inspect.getsource(profiling_errors)
    written = set(re.findall(r'"([EW]08\d\d)"', sources))
    assert written == explained == tested
