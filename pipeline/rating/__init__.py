"""Pricing as a visible list of steps: one pure file per step and per price model."""
