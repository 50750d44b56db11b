"""Put mnedge on a machine as a supervised service, and take it away again."""
