"""Tests mirror the rooms; fix_*.py are fixture plugins."""
