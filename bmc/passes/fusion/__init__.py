"""Fusion by idea: what an operation allows (`traits`), which operations run together (`graph`, `groups`, `sweep`,
`merge`), and how a group becomes a kernel (`kernels`).
"""
