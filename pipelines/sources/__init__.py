"""Files of records as hospitals have them, read as text or arrays, with every fault named."""
