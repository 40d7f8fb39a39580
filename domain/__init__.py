"""Nouns and pure rules: no network, no process, no open session."""
