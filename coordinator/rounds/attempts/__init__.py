"""The attempts at a round's secure sums: who is asked, what came of it, and what is tried next."""
