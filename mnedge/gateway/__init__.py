"""What people and programs talk to: REST, event streams, gRPC, the console."""
