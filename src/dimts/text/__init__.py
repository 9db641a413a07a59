"""Language: written Amharic → spoken form → IPA phones. Standard library only."""
