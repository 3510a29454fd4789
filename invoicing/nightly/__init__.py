"""What is compared every night: two ways to one figure, and servers that nobody pays for."""
