"""The version of this compiler, as artefacts and reports state it."""

from __future__ import annotations

__all__ = ["version"]

_SOURCE_VERSION = "0.1.0"


def version() -> str:
    """The installed distribution's version; in a checkout that is not installed, the checkout's."""
    from importlib import metadata  # noqa: PLC0415 - with what it imports (email, socket, zipfile) it would be part of every start

    try:
        return metadata.version("bmc-lang")
    except metadata.PackageNotFoundError:
        return _SOURCE_VERSION
