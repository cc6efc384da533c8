"""The front end: text to syntax tree (`syntax`, `parse`, `format`), syntax tree to typed graph (elaboration)."""
