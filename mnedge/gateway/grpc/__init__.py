"""The services of the published client, over HTTP/2, without a gRPC library."""
