"""The master key of every test's ledger."""

from sinks.vault import Vault

MASTER_KEY = bytes(range(32))
VAULT = Vault([MASTER_KEY])
ENVIRONMENT = {"RACKMETER_MASTER_KEY": MASTER_KEY.hex()}
