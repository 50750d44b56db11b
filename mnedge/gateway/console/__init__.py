"""The console: pages for a browser, without a build step and without scripts of others."""
