"""`bmc new`: a program with data of its own to begin with."""
