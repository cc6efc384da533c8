"""Starting from another model: `init` and `fitted`."""
