"""The coordinator: opens rounds, sees only sums, records everything it saw.

It handles named arrays and bytes. Its process holds no torch, MONAI or
Opacus, and Ray only in ``ray_link.py``.
"""
