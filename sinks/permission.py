"""What a reader may ask of a running sink: the read-only role, as a macro that DuckDB calls for every statement.

Knows SQL and its functions; no network, no store. Quack has one kind of session, which may do whatever the sink may,
and one hook: a function that is given each statement (and, for rows that a client appends, an INSERT that names the
table) and answers with the statement to run instead, or NULL. Four ways were considered:

1. A second DuckDB with the file attached read-only: DuckDB lets nobody else open a file that is being written.
2. A proxy of ours that forwards only harmless messages: every byte of every answer would go through Python, which is
   busy decoding, and a reader could go around it.
3. Words: refuse what does not begin with SELECT. `SELECT * FROM read_text('/etc/passwd')` does, and so does
   `FROM quack_serve('quack:0.0.0.0:1')`.
4. Chosen: DuckDB's own parser reads the statement (`json_serialize_sql` takes nothing but queries), and every function
   in its tree has to be on a list. The list is made from what this DuckDB has built in: functions that compute are on
   it, those that touch files, network, settings, sessions, logs, sequences, memory addresses or time are not, and a
   name that is also a table function has to be named here. Whatever is new is therefore refused.

The hook is SQL, not a function of Python's: it takes no interpreter lock from the sink that decodes. Below it lies a
second bar that no statement can lift again: the instance has `enable_external_access = false`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from personas.sql import literal

if TYPE_CHECKING:
    from sinks.database import Database

#: Table functions that only compute or describe. All others are refused.
TABLE_FUNCTIONS = (
    "duckdb_columns", "duckdb_constraints", "duckdb_functions", "duckdb_indexes", "duckdb_schemas", "duckdb_tables",
    "duckdb_types", "duckdb_views", "generate_series", "histogram", "histogram_values", "json_each", "json_tree",
    "pg_timezone_names", "pragma_table_info", "pragma_version", "range", "repeat", "unnest",
)  # fmt: skip

#: Functions of one value that do more than compute: they change or tell a session, sequence, log or setting, or wait.
REFUSED_FUNCTIONS = (
    "current_setting", "currval", "json_serialize_plan", "nextval", "pg_sleep", "setseed", "sleep_ms", "write_log",
)  # fmt: skip

#: The database that holds the hook, and the hook.
CATALOG = "readers"
HOOK = f"{CATALOG}.main.permit"

#: The names of all functions that readers may call.
ALLOWED = """
SELECT DISTINCT lower(function_name) AS name FROM duckdb_functions()
WHERE database_name = 'system' AND function_type IN ('scalar', 'aggregate', 'macro')
AND NOT list_contains(?::VARCHAR[], lower(function_name))
AND function_name NOT IN (SELECT function_name FROM duckdb_functions()
                          WHERE function_type IN ('table', 'table_macro', 'pragma'))
UNION SELECT unnest(?::VARCHAR[]) ORDER BY name
"""

# An INSERT is answered with NULL, whatever follows: it is how Quack asks whether rows may be appended, and takes any
# text for yes. Everything else that is refused is answered with a query that fails with the reason.
_PERMIT = r"""
CREATE MACRO readers.main.permit(session, statement) AS (
    SELECT CASE
        WHEN statement IS NULL OR regexp_matches(statement, '^\s*insert', 'i') THEN NULL
        WHEN reason IS NULL THEN statement
        ELSE 'SELECT error(''' || replace(reason, '''', '''''') || ''')' END
    FROM (SELECT CASE
            WHEN tree ->> '$.error_type' = 'parser' THEN 'Parser Error: ' || (tree ->> '$.error_message')
            WHEN tree ->> '$.error' IS DISTINCT FROM 'false' THEN
                'Readers may only ask (SELECT, FROM, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN): '
                || 'the sink alone writes, and nothing else can be set, attached, loaded or copied.'
            WHEN json_array_length(tree, '$.statements') <> 1 THEN 'Readers ask one statement at a time.'
            WHEN len(refused) > 0 THEN
                'Readers may not call ' || array_to_string(refused, ', ')
                || ': only functions that compute from what is in the store.'
            END AS reason
        FROM (SELECT tree, list_sort(list_distinct(list_filter(
                  list_transform(json_extract_string(tree, '$..function_name'), lambda name: lower(name)),
                  lambda name: NOT list_contains([{allowed}], name)))) AS refused
              FROM (SELECT json_serialize_sql(
                  regexp_replace(CAST(statement AS VARCHAR), '^\s*explain\s+(analyze\s+)?', '', 'i')) AS tree))))
"""


_CLOSED = """
CREATE MACRO readers.main.closed(session, statement) AS (CASE
    WHEN statement IS NULL OR regexp_matches(statement, '^\\s*insert', 'i') THEN NULL
    ELSE 'SELECT error(''The sink is ending and answers no more; ask again in a moment.'')' END)
"""


def prepare(database: Database) -> None:
    """Make the hook. To be called before any extension is loaded, so that none of its functions passes for built in.
    The library's errors come out as they are."""
    lists = [list(REFUSED_FUNCTIONS), list(TABLE_FUNCTIONS)]
    allowed = ", ".join(literal(name) for (name,) in database.execute(ALLOWED, lists))
    database.execute(f"ATTACH ':memory:' AS {CATALOG}")  # in memory: nothing of this is written into the store
    database.execute(_PERMIT.replace("{allowed}", allowed))
    database.execute(_CLOSED)


def grant(database: Database) -> None:
    """Give the role to all readers, and shut the doors behind the sink. To be called when Quack is loaded, before it
    serves: from here on this DuckDB touches no file but the store's own, and loads nothing."""
    database.execute(f"SET GLOBAL quack_authorization_function = '{HOOK}'")
    database.execute("SET GLOBAL python_enable_replacements = false")  # an unknown name is no variable of Python's
    database.execute("SET GLOBAL TimeZone = 'UTC'")  # sessions of readers start from the global settings
    database.execute("SET GLOBAL enable_external_access = false")


def revoke(database: Database) -> None:
    """Take the role from all readers: from here on nothing is answered, only told why."""
    database.execute(f"SET GLOBAL quack_authorization_function = '{CATALOG}.main.closed'")
