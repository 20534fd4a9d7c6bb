"""What is in a bundle: whose files were compiled and linked, and under which licences."""
