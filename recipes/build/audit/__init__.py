"""What was configured, compiled and linked, compared with the plan. Imports no other part of build."""
