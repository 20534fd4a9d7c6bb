"""Vulnerability records of others, OSV's and CVE's: read, matched with recipes, proposed as findings."""
