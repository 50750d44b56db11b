"""Run folders: what people find of every run, after a crash and beside a worker's own files too."""
