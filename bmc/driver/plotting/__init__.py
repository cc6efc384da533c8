"""Pictures of models: what there is to draw, and how."""
