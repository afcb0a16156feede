"""A finished run -> one student network, distilled from its members and judged on test data."""
