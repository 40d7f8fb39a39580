"""Mutated answers into the decoders, by the million; the tests run a small share of each."""
