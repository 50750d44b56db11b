"""What can be counted about words."""
