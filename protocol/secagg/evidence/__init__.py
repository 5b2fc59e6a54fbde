"""The evidence of a round: its transcript, and accusations of sites that answered wrongly."""
