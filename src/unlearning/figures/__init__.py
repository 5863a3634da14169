"""The table and the pictures that a person looks at."""
