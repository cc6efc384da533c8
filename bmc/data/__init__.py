"""Tables from files and memory: `read_source` and `read_blocks` for training, `read_rows` and `read_row_blocks` for prediction; and
into files: `write_predictions`."""

from bmc.data.blocks import MOST_ROWS, Block, Progress
from bmc.data.files.fingerprint import fingerprint
from bmc.data.files.naming import FORMATS, Given, files_of, is_remote
from bmc.data.formats.frames import columns_in
from bmc.data.read import read_blocks, read_source
from bmc.data.row_blocks import Reading, RowBlock, expanded, read_row_blocks
from bmc.data.rows import Rows, read_rows
from bmc.data.writing.write import WRITTEN, PredictionWriter, prediction_writer, write_predictions

__all__ = [
    "FORMATS", "MOST_ROWS", "WRITTEN", "Block", "Given", "PredictionWriter", "Progress", "Reading", "RowBlock", "Rows",
    "columns_in", "expanded", "files_of", "fingerprint", "is_remote", "prediction_writer", "read_blocks", "read_row_blocks",
    "read_rows",
    "read_source", "write_predictions",
]  # fmt: skip
