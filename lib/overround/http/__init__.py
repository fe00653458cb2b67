"""The one way out to the network: cached, polite, within limits of time and size."""
