"""Decoders of outside bytes, and the honest inputs that are spoilt for them."""
