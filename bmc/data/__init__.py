"""Tables from files and memory: `read_source` for training, `read_rows` for prediction; and into files: `write_predictions`."""

from bmc.data.fingerprint import fingerprint
from bmc.data.read import FORMATS, Given, Rows, read_rows, read_source
from bmc.data.write import write_predictions

__all__ = ["FORMATS", "Given", "Rows", "fingerprint", "read_rows", "read_source", "write_predictions"]
