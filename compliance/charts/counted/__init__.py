"""Charts of counted columns: the shares of one, and its drift from release to release."""
