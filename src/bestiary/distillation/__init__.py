"""A finished run -> one student network, trained on the members' answers and judged on images it
has not seen.
"""
