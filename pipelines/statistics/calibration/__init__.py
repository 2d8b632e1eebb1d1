"""How far scores can be read as probabilities."""
