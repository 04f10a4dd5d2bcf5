"""WHAT WE KEEP: Kafka to DuckDB. Knows `personas`, never `simulator`."""
