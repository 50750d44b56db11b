"""From a submitted bundle to a finished job: owners, coordinators, timers."""
