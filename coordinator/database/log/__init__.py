"""The log beside its entries: proofs from the database, and cosignatures of its heads."""
