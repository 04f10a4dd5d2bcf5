"""A million damaged inputs: of the event decoder and of the pack loader. `make fuzz`; a small dose in `make test`."""
