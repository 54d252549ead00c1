"""A tour in one command: a gateway, a receiver that verifies what it gets, and real events between them."""
