"""The whole compiler on one page, and what drives it: loading, sessions, workflows, reports."""
