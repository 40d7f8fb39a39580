"""Recordings of real devices against their expected values; no part of `make test`, as they are no part of the project."""
