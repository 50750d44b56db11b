"""Who asks: signing keys, bearer tokens, references to secrets, certificates, the audit record."""
