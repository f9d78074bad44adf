"""Clusters of a user's rows: found, judged, used to score and assign new rows; `nearkin.cluster` is the door."""
