"""The version of this compiler, as artefacts and reports state it."""

from __future__ import annotations

from importlib import metadata

__all__ = ["version"]

_SOURCE_VERSION = "0.1.0"


def version() -> str:
    """The installed distribution's version; in a checkout that is not installed, the checkout's."""
    try:
        return metadata.version("bmc-lang")
    except metadata.PackageNotFoundError:
        return _SOURCE_VERSION
