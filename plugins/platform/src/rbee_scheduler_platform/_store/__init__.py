"""Durable state: one store, on SQLite or PostgreSQL, behind a group-committing writer.

* `_protocol`: what a store does. `_open`: finds one by its name. `_sql_store`: does it.
* `_writer`, `_database`: operations, in groups that share a transaction.
* `_sqlite`, `_postgres`, `_schema`: the engines, and the tables.
* `_tenant_rows`, `_job_rows`, `_charge_rows`, `_recovery`, `_books`: the operations.
* `_quota_state`: whether a quota has room; pure. `_seal`: payloads of jobs.
"""
