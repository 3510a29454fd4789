"""Those who move money for us. One protocol, and one module for each of them."""
