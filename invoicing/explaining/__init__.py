"""How figures of an invoice are explained: a tree of nodes, as text, data and a page."""
