"""A plugin for mnedge to copy: a runner, a device probe, a connector and an output skill."""
