"""Contract suites and fakes, for this repository and for those who write plugins."""
