"""Text to syntax tree and back: tokens, brackets, layout, the LALR table, the tree, the formatter."""
