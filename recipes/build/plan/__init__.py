"""The plan: a pure result of manifest and platform. Imports no other part of build."""
