"""Savings and costs of narrower rings and fewer coordinates, on shipped studies."""
