"""Collectors on rented servers: read, integrate, spool, sign, publish. Imports schemas only."""
