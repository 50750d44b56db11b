"""The command line: one file per noun, every error turned into words in one place."""
