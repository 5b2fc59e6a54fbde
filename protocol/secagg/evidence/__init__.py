"""What a round leaves behind: its transcript, and who answered wrongly."""
