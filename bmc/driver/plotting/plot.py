"""`bmc plot` and `bmc train --plot`.

In: a trained model, a file or folder. Out: pictures there. Guaranteed: a library that is missing, or a name that is none of a
picture's, is said before anything else is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from bmc.data import Given
from bmc.driver import run_errors
from bmc.driver.plotting.gathering import gather
from bmc.driver.trained import TrainedModel
from bmc.errors import BmcError

__all__ = ["Drawn", "plot", "require_drawing"]

_ENDINGS = (".png", ".pdf")


class Drawn:
    """`files` written; `missing`: why what needs data is not drawn, None if it is."""

    def __init__(self, files: list[Path], missing: str | None) -> None:
        self.files, self.missing = files, missing


def require_drawing(path: Path) -> None:
    """Raises BmcError when matplotlib is missing or the name is not of a picture or a folder."""
    if path.suffix and path.suffix.lower() not in _ENDINGS and not path.is_dir():
        raise BmcError(run_errors.no_picture(str(path), _ENDINGS))
    if find_spec("matplotlib") is None:
        raise BmcError(run_errors.library_missing("matplotlib", "drawing", "plot"))


def plot(model: TrainedModel, path: Path, split: str | None = None, data: Mapping[str, Given] | None = None) -> Drawn:
    """Draw what there is of a model into a picture, or into a folder. Raises BmcError."""
    require_drawing(path)
    figures, missing = gather(model, split, data)
    if not figures:
        raise BmcError(run_errors.nothing_to_draw(str(model.path or model.unit.name)))
    from bmc.driver.plotting.drawing import draw  # noqa: PLC0415 - matplotlib, which is an extra, and half a second

    return Drawn(draw(figures, path), missing)
