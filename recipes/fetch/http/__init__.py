"""HTTP: sessions, redirects, what an answer means, retries. Decisions are pure; below fetch/download."""
