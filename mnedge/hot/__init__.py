"""The fast path: compiled functions, each with a plain-Python twin that answers alike."""
