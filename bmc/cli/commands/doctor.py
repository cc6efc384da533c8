"""`bmc doctor`"""

from __future__ import annotations

import click

from bmc.cli.exits import DONE, RUN
from bmc.cli.output import result
from bmc.driver.doctor import examine

__all__ = ["command"]

_MARKS = {True: "ok  ", False: "BAD ", None: "    "}


@click.command()
def command() -> int:
    """Whether this installation works: versions, the processor, the cache, and a small program trained."""
    bad = 0
    for finding in examine():
        bad += finding.good is False
        result(f"{_MARKS[finding.good]}{finding.what:12} {finding.detail}")
    return RUN if bad else DONE
