"""Long suites, each with a short form in the tests."""
