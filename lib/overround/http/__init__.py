"""The only way to the network: cached, polite, limited in time and size."""
