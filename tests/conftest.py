"""Registers the fixture plugins; each tests/fix_*.py owns one kind of real part."""

pytest_plugins = ["tests.fix_stack", "tests.fix_kafka", "tests.fix_billing", "tests.fix_agents"]
