"""Tables as hospitals have them, read as text with every fault named."""
