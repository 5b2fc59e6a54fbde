"""Python interface: what ``import collegium as cg`` offers a notebook, thin over the commands."""
