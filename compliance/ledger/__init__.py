"""The hospital's privacy ledger: rows, their chain, heads kept outside, and priced plans."""
