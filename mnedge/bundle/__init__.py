"""From a folder or an archive to a job that can run, with every problem named on the way."""
