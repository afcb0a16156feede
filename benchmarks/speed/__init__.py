"""How fast bestiary trains, predicts, serves and starts, alone and against others."""
