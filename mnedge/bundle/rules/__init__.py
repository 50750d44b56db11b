"""Everything that can be wrong with a bundle: one function per rule."""
