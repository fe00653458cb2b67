"""A simulated market, served over HTTP like a real provider."""
