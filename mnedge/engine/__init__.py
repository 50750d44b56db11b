"""One job as a pure state machine: facts in, commands and events out."""
