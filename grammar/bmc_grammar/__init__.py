"""The project's lark grammars, and their LALR tables in a form that needs no lark to use.

In: the name of a grammar of this folder (`bm` for the language). Out: `grammar_text(name)`, `load_table(name)`.
Guaranteed: lark is imported only when no verified table is in the user's cache, since importing lark and building the
table take longer than the whole of a `bmc check`.
"""

from bmc_grammar.table import Rule, Table
from bmc_grammar.table_cache import grammar_text, load_table

__all__ = ["Rule", "Table", "grammar_text", "load_table"]
