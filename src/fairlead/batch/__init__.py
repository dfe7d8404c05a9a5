"""Scores a table: read in chunks, answered by column on all cores, written so that a killed run goes on where it stopped."""
