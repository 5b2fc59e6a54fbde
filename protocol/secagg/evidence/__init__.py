"""Accusations of sites that answered wrongly, and the signed answers they are made from."""
