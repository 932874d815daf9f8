"""Makes mistakes in what decides, and runs for each the tests that reach it: one that no test finds lacks a test."""
