"""Fine-tuning: manifest → codes → batches → checkpoint → voice."""
