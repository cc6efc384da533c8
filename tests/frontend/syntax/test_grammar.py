"""The grammar has no conflicts, and its table is cached where only the user can write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lark import Lark
from lark.exceptions import GrammarError

from bmc_grammar import Table, grammar_text, table_cache
from bmc_grammar.build import build_table
from bmc_grammar.table_cache import load_table


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_table.cache_clear()
    yield tmp_path / "bmc" / "grammar"
    load_table.cache_clear()


def test_grammar_has_no_conflict_in_strict_mode() -> None:
    table = build_table(grammar_text("bm"))  # strict: raises GrammarError on any conflict
    assert 300 < len(table.states) < 500


def test_strict_mode_would_find_a_conflict() -> None:
    ambiguous = grammar_text("bm").replace("| sum PLUS product -> binary", "| sum PLUS sum -> binary")
    assert ambiguous != grammar_text("bm")
    with pytest.raises(GrammarError):
        build_table(ambiguous)


def test_every_terminal_is_declared_and_used() -> None:
    text = grammar_text("bm")
    declared = {w for line in text.splitlines() if line.startswith("%declare") for w in line.split()[1:]}
    table = build_table(text)
    used = {symbol for row in table.states for symbol in row if symbol.isupper()}
    assert used - {"$END"} == declared


def test_table_is_the_same_each_time_and_survives_json() -> None:
    first, second = build_table(grammar_text("bm")), build_table(grammar_text("bm"))
    assert first == second
    assert Table.from_json(first.to_json()) == first


def test_cached_table_is_private_and_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = load_table("bm")
    (stored,) = cache.iterdir()
    assert cache.stat().st_mode & 0o777 == 0o700
    assert stored.stat().st_mode & 0o777 == 0o600
    load_table.cache_clear()
    monkeypatch.setitem(sys.modules, "bmc_grammar.build", None)  # building is impossible now
    assert load_table("bm") == built


@pytest.mark.parametrize("damage", ["garbage", "flipped", "empty", "not utf-8", "hash of another text"])
def test_damaged_cache_is_built_anew(cache: Path, damage: str) -> None:
    built = load_table("bm")
    (stored,) = cache.iterdir()
    content = stored.read_bytes()
    stored.write_bytes(
        {
            "garbage": b"no table at all",
            "flipped": content.replace(b'"accept":', b'"accept":1', 1),
            "empty": b"",
            "not utf-8": b"\xff\xfe" + content,
            "hash of another text": content.split(b"\n")[0] + b"\n{}",
        }[damage]
    )
    load_table.cache_clear()
    assert load_table("bm") == built
    assert not list(cache.glob("*.tmp"))


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="modes are POSIX")
def test_cache_that_others_can_write_is_not_read(cache: Path) -> None:
    load_table("bm")
    cache.chmod(0o777)
    load_table.cache_clear()
    assert table_cache.cache_directory() is None
    assert load_table("bm").states
    cache.chmod(0o700)
    (stored,) = cache.iterdir()
    stored.chmod(0o666)
    assert table_cache._read(str(stored)) is None


def test_cache_that_is_a_link_is_not_followed(cache: Path, tmp_path: Path) -> None:
    load_table("bm")
    (stored,) = cache.iterdir()
    elsewhere = tmp_path / "elsewhere.json"
    stored.rename(elsewhere)
    stored.symlink_to(elsewhere)
    assert table_cache._read(str(stored)) is None


def test_table_json_that_is_no_table_is_a_value_error() -> None:
    for text in ("", "[]", "{}", "null", json.dumps({"rules": 1, "states": [], "accept": 0})):
        with pytest.raises(ValueError, match=r"LALR table|Expecting value"):
            Table.from_json(text)


def test_parsing_with_a_cached_table_does_not_import_lark(cache: Path) -> None:
    load_table("bm")
    program = (
        "import sys; from bmc.frontend.syntax.parse import parse; from bmc.source import SourceFile; "
        "parse(SourceFile('a', 'let a = 1')); "
        "print([m for m in ('lark', 'numpy', 'llvmlite', 'rich', 'click') if m in sys.modules])"
    )
    environment = dict(os.environ, XDG_CACHE_HOME=str(cache.parent.parent), PYTHONPATH=os.pathsep.join(sys.path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"


def test_lark_itself_accepts_the_grammar_text() -> None:
    """The file is a lark grammar like any other: nothing of ours is needed to read it."""
    assert Lark(grammar_text("bm"), parser="lalr", lexer=build_table.__globals__["_NoTokens"], strict=True)
