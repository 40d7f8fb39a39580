"""Migrations of the database; `pantau db upgrade` runs them."""
