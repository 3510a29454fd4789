"""Metering and rating: pure functions, and the Faust edge that feeds them. Never imports sinks."""
