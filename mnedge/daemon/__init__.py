"""Every part built and joined by hand."""
