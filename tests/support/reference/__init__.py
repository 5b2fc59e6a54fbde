"""Reference computations, plain and slow, that the tests hold the product to."""
