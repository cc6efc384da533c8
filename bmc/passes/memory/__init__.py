"""Memory by idea: sizes as polynomials (`sizes`), when a kernel may write over what it reads (`inplace`), where each
value is needed (`lifetime`), and slots of an arena (`arena`).
"""
