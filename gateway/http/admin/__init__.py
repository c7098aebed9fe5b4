"""The operations side, one file a noun: rules, diffs, deliveries, records, audit.

A key that is limited to regions or entities sees only those here too; what belongs to no slice, such as
the audit, needs a key without such limits.
"""
