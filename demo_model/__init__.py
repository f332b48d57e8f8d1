"""Builds the tiny bilingual chat model that ships with the platform."""
