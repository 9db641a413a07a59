"""Text front end: normalise written Amharic and convert it to IPA phones. Standard library only."""
