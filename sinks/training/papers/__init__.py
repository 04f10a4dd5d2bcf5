"""The papers of training sets: manifest, card, signature, and what checks them. Nothing heavy is imported here."""
