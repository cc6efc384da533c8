"""A `train` block: settings, loss, gradient, update, metrics, predictions."""
