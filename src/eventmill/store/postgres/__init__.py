"""The shared engine: any number of gateway nodes over one PostgreSQL database."""
