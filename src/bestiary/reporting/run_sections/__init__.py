"""The sections of a run's page, one module each: results -> what its template shows."""
