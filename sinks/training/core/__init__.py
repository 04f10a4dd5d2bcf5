"""The core: real data that the user supplies, read, mapped to the product's words, pseudonymised, and put beside."""
