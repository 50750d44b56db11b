"""The step ledger: who may run, what an answer counts for, and when a workflow is done."""
