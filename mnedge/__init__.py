"""mnedge: a durable agent for edge boxes that runs MirrorNeuron job bundles."""

__version__ = "0.1.0"
