"""A real browser, for tests of what people see."""
