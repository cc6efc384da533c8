"""E01xx: text, tokens, statements."""

from __future__ import annotations

from bmc.errors.catalogue.entry import Entry

__all__ = ["ENTRIES"]

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "E0101",
        "This cannot stand here",
        "The words up to here begin something that cannot go on like this. The message lists what could have followed. A "
        "newline ends a statement, except inside ( ) and [ ], or before a line that starts with `|>`.",
        "let total = 1 + * 2",
        "let total = (1 +\n  2)",
        within="file",
    ),
    Entry(
        "E0102",
        "Unknown character",
        "Outside of strings and comments the language is written in ASCII. Typographic quotes, dashes and the like come "
        "from word processors and web pages. A column whose header has other letters gets a name by `as`.",
        "let half = 1 ÷ 2",
        "let half = 1 / 2",
        within="file",
    ),
    Entry(
        "E0103",
        "A bracket is never closed",
        "The carets are under the opening bracket. Where the closing one was missed is told from the kinds of the brackets "
        "that follow, and from indentation.",
        "let widths = [16, 32\nlet depth = 2",
        "let widths = [16, 32]\nlet depth = 2",
        within="file",
    ),
    Entry(
        "E0104", "A closing bracket closes nothing", "No bracket of its kind is open here.",
        "let a = (1 + 2))",
        "let a = (1 + 2)",
        within="file",
    ),
    Entry(
        "E0105",
        "A string is not closed",
        'A string starts and ends on one line. In it, `\\n` stands for a newline and `\\"` for a quote.',
        'let path = "fields',
        'let path = "fields"',
        within="file",
    ),
    Entry(
        "E0106",
        "Unknown escape in a string",
        'A backslash starts an escape: \\n \\t \\r \\0 \\" \\\\ \\xHH \\uHHHH \\u{HHHHHH}. Write it twice for a backslash. '
        "Surrogates (D800 to DFFF) are not characters.",
        'let path = "models\\deep"',
        'let path = "models\\\\deep"',
        within="file",
    ),
    Entry(
        "E0107",
        "Not a number, or one too large",
        "Numbers look like 12, 20_000, 0.5, 1e-3. Integers go up to 9223372036854775807, floats to about 1.8e308. A name "
        "cannot start with a digit.",
        "let x = .5\nlet y = 3x",
        "let x = 0.5\nlet x3 = 3",
        within="file",
    ),
    Entry(
        "E0108",
        "Comparisons do not chain",
        "`a < b < c` means different things in different languages. Say it with `and`.",
        "let x = 2\nlet ok = 1 < x < 3",
        "let x = 2\nlet ok = 1 < x and x < 3",
        within="file",
    ),
    Entry(
        "E0109",
        "An operator follows a pipe",
        "The pipe binds loosest: `x + x |> f` is `(x + x) |> f`, and after `|>` stands one function or layer. To go on with "
        "the result, put the pipe into parentheses.",
        "x = x |> relu / 255",
        "x = (x |> relu) / 255",
        within="body",
    ),
    Entry(
        "E0110",
        "`=` where `==` is meant",
        "`=` binds a name or an argument; `==` compares.",
        "fn f(x: float[B], n = 1) -> float[B] {\n  if n = 1 { x = x + 1 }\n  return x\n}",
        "fn f(x: float[B], n = 1) -> float[B] {\n  if n == 1 { x = x + 1 }\n  return x\n}",
        within="file",
    ),
    Entry(
        "E0111",
        "Two statements on one line",
        "A statement ends with its line or with `;`. Often an operator or a comma is missing.",
        "let a = 1 let b = 2",
        "let a = 1; let b = 2",
        within="file",
    ),
    Entry(
        "E0112",
        "Nested too deeply",
        "Expressions may be nested 120 levels deep, brackets 60; a long sum is nested as deep as it has terms. Give parts "
        "names of their own.",
    ),
    Entry(
        "E0113",
        "A positional argument follows a named one",
        "Arguments without a name come first, in the order of the declaration.",
        "let s = cosine(peak = 1e-3, 100)",
        "let s = cosine(1e-3, warmup = 100)",
        within="file",
    ),
    Entry(
        "E0114",
        "`as` outside of a pipe",
        "A layer's key is given by `as` after its stage in a pipe. A layer that is bound has the name it is bound to.",
        "x = dense(4)(x) as fc1",
        "x = x |> dense(4) as fc1",
        within="body",
    ),
    Entry(
        "E0115",
        "Only names can be bound",
        "Left of `=` stand names, each with a type if wanted. Elements are not assigned to: build a new tensor.",
        "fn f(x: float[B]) -> float[B] {\n  x[0] = 1\n  return x\n}",
        "fn f(x: float[B]) -> float[B] {\n  x = select(arange(B) == 0, 1, x)\n  return x\n}",
        within="file",
    ),
    Entry(
        "E0116",
        "Not a dim",
        "A dim is an integer, a name, or arithmetic on these; `...` stands for any number of dims.",
        "fn f(x: float[B, 2.5]) -> float[B] { return x }",
        "fn f(x: float[B, 2]) -> float[B, 2] { return x }",
        within="file",
    ),
    Entry(
        "E0117",
        "This statement cannot stand in this block",
        "At the top of a file stand declarations; `param`, `state`, `if` and so on stand in bodies; `where`, `distinct` and "
        "`columns` in `data` blocks; `key = expr` in `train` blocks.",
        "param w: float[3]",
        "layer Scale()(x: float[B, 3]) -> float[B, 3] {\n  param w: float[3] = ones\n  return x * w\n}",
        within="file",
    ),
    Entry(
        "E0118",
        "A type is missing",
        "Functions, layers, models and optimizers say what they return, and `param`, `state` and columns have a type.",
        "fn double(x: float[B]) { return 2 * x }",
        "fn double(x: float[B]) -> float[B] { return 2 * x }",
        within="file",
    ),
    Entry(
        "E0119",
        "A reserved word as a name",
        "and, as, false, none, not, or, true cannot be names. All other words of the language can.",
        "let none = 0",
        "let nothing = 0",
        within="file",
    ),
    Entry("E0120", "Too many errors", "Only the first errors are shown; mend these first."),
    Entry(
        "E0121",
        "A comma is missing",
        "Items within ( ) and [ ] are separated by commas, also where each has a line of its own. A comma behind the last one is "
        "fine.",
        "let widths = [16 32]",
        "let widths = [16, 32]",
        within="file",
    ),
    Entry(
        "E0122",
        "A block is not opened",
        "The statements of a declaration, of `if`, `else`, `repeat`, `scan` and `columns` stand in braces. A `}` closes nothing "
        "here, and this header has no `{`.",
        "fn f(x: float[B]) -> float[B]\n  return 2 * x\n}",
        "fn f(x: float[B]) -> float[B] {\n  return 2 * x\n}",
        within="file",
    ),
)
