"""What narrower rings and fewer coordinates save, and what they cost, on shipped studies."""
