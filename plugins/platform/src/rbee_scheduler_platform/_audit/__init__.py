"""The audit trail: append-only, hash-chained records of what was decided and changed.

* `_chain`: appends a link, cuts the front off. `_verify`: walks the chain; anchors.
* `_export`: records as JSON lines.
"""
