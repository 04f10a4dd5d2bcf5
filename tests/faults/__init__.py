"""The fault suite: kills and cuts while events flow, and a count of what is in the database afterwards."""
