"""Servers on this machine that speak the protocols of services, to test against with the services' own clients."""
