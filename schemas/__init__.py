"""What crosses a border: the wire form, its envelope, events, meters. Imports no other room."""
