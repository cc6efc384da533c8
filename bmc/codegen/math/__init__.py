"""Our own transcendental functions as sequences of basic operations on `Lanes`, one module a family.

In: a `Lanes` and values of f32 or f64. Out: values of the same dtype. Guaranteed: the errors declared in
`bmc.ops.element.ULP_BOUND`, IEEE 754's results for zeros, infinities, NaN and subnormals, and the same bits for the
same element at every vector width.

Coefficients are minimax polynomials found by Remez exchange in 60 digits for the relative error of the function that
they serve, rounded to the dtype from the lowest order up. Each table states the error it leaves.
"""
