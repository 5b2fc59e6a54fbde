"""One hospital: its keys, its ledger, its trainer and its side of every round."""
