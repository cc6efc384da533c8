"""What training leaves behind: `.bmz` artefacts and checkpoints. Data, never code: nothing read is executed or unpickled."""

from bmc.artefact.checkpoint import Checkpoint, read_checkpoint, require_same_run, write_checkpoint
from bmc.artefact.model import Artefact, read_artefact, require_same_parameters, write_artefact

__all__ = [
    "Artefact", "Checkpoint", "read_artefact", "read_checkpoint", "require_same_parameters", "require_same_run", "write_artefact",
    "write_checkpoint",
]  # fmt: skip
