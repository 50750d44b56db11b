"""Replace mnedge by a newer release, and go back by itself if that one is not healthy."""
