"""Running passes: order, switches, observers, and the report that a failing pass leaves behind."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from bmc.errors import BmcError, CompilerBug, Diagnostic
from bmc.ir import Function, Operation
from bmc.ir.text import print_function
from bmc.ops.parse_text import parse_module
from bmc.passes.manager import Pass, PassRun, Property, Recorder, check_after, observers, run_pipeline, write_after_all
from bmc.passes.pipeline import GRAPH_PASSES, INCREMENTAL_PASSES, SHARD_PASSES
from bmc.passes.shard import RowsDoNotSplit
from bmc.source import SourceFile

TEXT = """
function "fit.a/b" rows B {
  param %x: f32[B, 4] = input "x"
  %one = constant(value = 1.0, dtype = "f32", shape = [B, 4]) : f32[B, 4]
  %y = mul(%x, %one) : f32[B, 4]
  %z = exp(%y) : f32[B, 4]
  output "z" = %z
}
"""


def function() -> Function:
    return parse_module(SourceFile("test.bmir", TEXT)).functions[0]


def unchanged(f: Function) -> Function:
    return f


def drop_first(f: Function) -> Function:
    return replace(f, ops=f.ops[1:])


def fails_at_exp(f: Function) -> Function:
    for op in f.ops:
        if op.name == "exp":
            raise IndexError("no such thing")
    return f


def test_the_pipeline_runs_in_order_and_verifies() -> None:
    seen: list[str] = []
    result = run_pipeline(function(), GRAPH_PASSES, observer=observers(lambda run: seen.append(run.of.name), check_after))
    assert seen == ["specialise", "hoist", "align", "autodiff", "expand", "fold", "canonicalise", "cse", "lift", "dce"]
    assert [op.name for op in result.ops] == ["exp"]


def test_names_flags_and_modules_agree() -> None:
    for p in (*GRAPH_PASSES, *INCREMENTAL_PASSES, *SHARD_PASSES):
        run = getattr(p.run, "func", p.run)
        assert run.__name__ == p.name
        assert run.__module__ == f"bmc.passes.{p.name}"
        assert p.purpose


def test_the_documentation_lists_the_passes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "passes.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if re.fullmatch(r"\| `\w+` \| .* \|", line)]
    assert rows == [f"| `{p.name}` | {p.purpose} |" for p in (*GRAPH_PASSES, *INCREMENTAL_PASSES, *SHARD_PASSES)]


@pytest.mark.parametrize("name", [p.name for p in GRAPH_PASSES if p.optional])
def test_each_optional_pass_can_be_left_out(name: str) -> None:
    recorder = Recorder()
    run_pipeline(function(), GRAPH_PASSES, disabled=(name,), observer=observers(recorder, check_after))
    assert name not in [s.name for s in recorder.snapshots]


def test_only_optional_passes_can_be_left_out() -> None:
    with pytest.raises(ValueError, match="called autodiff, nothing; there are canonicalise, cse, dce, fold, hoist, lift"):
        run_pipeline(function(), GRAPH_PASSES, disabled=("nothing", "autodiff"))


def test_observers_see_what_went_in_and_came_out() -> None:
    runs: list[PassRun] = []
    run_pipeline(function(), (Pass("same", "p", unchanged), Pass("drop", "p", lambda f: replace(f, ops=()))), observer=runs.append)
    assert [(run.number, run.of.name, run.changed) for run in runs] == [(1, "same", False), (2, "drop", True)]
    assert runs[1].before is runs[0].after
    assert all(run.seconds >= 0 for run in runs)


def test_a_failing_pass_leaves_its_input_and_the_command(tmp_path: Path) -> None:
    before = function()
    with pytest.raises(CompilerBug) as caught:
        run_pipeline(before, (Pass("fails", "p", fails_at_exp),), crash_directory=tmp_path / "new dir")
    bug = caught.value
    assert bug.stage == "fails"
    assert "pass fails failed on function 'fit.a/b': IndexError: no such thing" in bug.message
    assert ">   %z = exp(%y) : f32[B, 4]" in bug.message
    assert isinstance(bug.__cause__, IndexError)
    match = re.search(r"to repeat it: (.*)", bug.message)
    assert match is not None
    command = shlex.split(match[1])
    assert command[:2] == ["bmc", "dump"]
    assert command[3:] == ["--stage", "grad", "--after", "fails"]
    path = Path(command[2])
    assert path.parent == tmp_path / "new dir"
    text = path.read_text()
    assert text == bug.reproduction
    # The file alone repeats the failure.
    again = parse_module(SourceFile(str(path), text)).functions[0]
    assert print_function(again) == print_function(before)
    with pytest.raises(CompilerBug, match="no such thing"):
        run_pipeline(again, (Pass("fails", "p", fails_at_exp),))


def test_a_broken_result_is_the_passes_fault(tmp_path: Path) -> None:
    with pytest.raises(CompilerBug) as caught:
        run_pipeline(function(), (Pass("drop_first", "p", drop_first),), crash_directory=tmp_path)
    assert caught.value.stage == "drop_first"
    assert "%one is used but not defined before" in caught.value.message
    assert ">   %y = mul(%x, %?one) : f32[B, 4]" in caught.value.message
    assert [p.name for p in tmp_path.iterdir()] == ["fit.a_b-drop_first.bmir"]


def test_a_report_that_cannot_be_written_is_no_second_failure(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(CompilerBug, match="its input could not be written"):
        run_pipeline(function(), (Pass("fails", "p", fails_at_exp),), crash_directory=blocked)


def has_exp(f: Function) -> tuple[str, Operation | None] | None:
    return next((("an exponential", op) for op in f.ops if op.name == "exp"), None)


@pytest.mark.parametrize("relation", ["requires", "ensures"])
def test_properties_are_held(relation: str) -> None:
    prop = Property("no exp", has_exp)
    p = Pass("p", "p", unchanged, **{relation: (prop,)})  # type: ignore[arg-type]
    with pytest.raises(CompilerBug, match=f"it {relation} 'no exp': an exponential"):
        run_pipeline(function(), (p,))
    without = replace(function(), ops=(), results=())
    assert run_pipeline(without, (p,)) is without


def test_errors_of_the_user_pass_through() -> None:
    def refuse(f: Function) -> Function:
        raise BmcError(Diagnostic("E0601", "rows mix"))

    with pytest.raises(BmcError):
        run_pipeline(function(), (Pass("refuse", "p", refuse),))


def test_refusals_pass_through_and_numbers_count_on() -> None:
    text = """
    function "train" rows B {
      param %x: f32[B, 4] = input "x"
      %m = reduce_MIX(%x, axes = [0]) : f32[4]
      output "m" = %m
    }"""

    def step(fold: str) -> Function:
        return parse_module(SourceFile("test.bmir", text.replace("MIX", fold))).functions[0]

    recorder = Recorder()
    result = run_pipeline(step("sum"), SHARD_PASSES, observer=recorder, number=5)
    assert [op.name for op in result.ops] == ["reduce_sum", "shard_sum"]
    assert [(s.number, s.name) for s in recorder.snapshots] == [(5, "input"), (6, "shard")]
    with pytest.raises(RowsDoNotSplit):
        run_pipeline(step("max"), SHARD_PASSES)


def test_every_version_is_written(tmp_path: Path) -> None:
    recorders = [Recorder(), Recorder()]
    run_pipeline(function(), GRAPH_PASSES, observer=recorders[0])
    run_pipeline(replace(function(), name="other"), GRAPH_PASSES, disabled=("dce",), observer=recorders[1])
    paths = write_after_all(tmp_path / "dump", recorders)
    assert [p.name for p in paths] == [
        "00-input.bmir",
        "01-specialise.bmir",
        "02-hoist.bmir",
        "03-align.bmir",
        "04-autodiff.bmir",
        "05-expand.bmir",
        "06-fold.bmir",
        "07-canonicalise.bmir",
        "08-cse.bmir",
        "09-lift.bmir",
        "10-dce.bmir",
    ]
    modules = [parse_module(SourceFile(str(p), p.read_text())) for p in paths]
    assert [[f.name for f in m.functions] for m in modules] == [["fit.a/b", "other"]] * 10 + [["fit.a/b"]]
    assert len(modules[0].functions[0].ops) == 3
    assert len(modules[10].functions[0].ops) == 1
