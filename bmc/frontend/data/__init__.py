"""A `data` block: sources, columns, headers, fits."""
