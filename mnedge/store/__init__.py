"""What a node keeps: small records, claims, journals, blobs and run folders."""
