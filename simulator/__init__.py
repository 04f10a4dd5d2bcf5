"""WHEN they come and WHAT they do; writes Kafka. Knows `personas`, never `sinks`."""
