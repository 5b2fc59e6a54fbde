"""Images as hospitals have them, read and prepared some at a time, with every fault named."""
