"""E09xx: what the language has and the compiler does not do yet.

In: the span of a use. Out: the diagnostic, which names the feature. Guaranteed: checking goes on behind it with a value of
the right
type wherever the type is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bmc.errors import Diagnostic
from bmc.frontend.errors.name_errors import primary
from bmc.source import Span

__all__ = ["FEATURES", "not_yet"]

FEATURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "memory": ("E0908", "`memory` (recomputation) is not done yet"),
    }
)
"""feature -> (code, message)"""


def not_yet(span: Span, feature: str) -> Diagnostic:
    """E09xx. KeyError for a feature that is not listed."""
    code, message = FEATURES[feature]
    return Diagnostic(code, message, (primary(span, "not yet"),))
