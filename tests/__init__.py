"""Tests mirror the rooms: tests/<room>/; contracts/ holds the suites that every implementation inherits."""
