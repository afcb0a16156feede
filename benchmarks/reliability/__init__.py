"""What bestiary survives: kills, broken disks, strangers' files, other engines."""
