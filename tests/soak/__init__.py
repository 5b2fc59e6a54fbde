"""Long runs: memory must stay flat.  python -m tests.soak"""
