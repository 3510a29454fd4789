"""Counters that the provider reads himself: switch ports by SNMP, exporters of Prometheus, chassis
by Redfish.

The same reports as the agent's, made with the same arithmetic, state and spool (agents/). A server
has one producer at a time, so what a collector says of a server is reported under an id of its own,
``ax-017.switch``, with a key of its own; an item is assigned both.
"""
