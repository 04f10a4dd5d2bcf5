"""How the database came to be what it is: ordered, named steps, each applied once and recorded.

A step that has been published is never edited; a change is a new step at the end. Steps are SQL scripts without
parameters. Knows the tables, not the library that runs them (that is store.py).
"""

from __future__ import annotations

_TABLES = """
CREATE TABLE events (
    event_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, product VARCHAR NOT NULL, session_id VARCHAR NOT NULL,
    sequence INTEGER NOT NULL, user_id VARCHAR NOT NULL, time TIMESTAMPTZ NOT NULL, type VARCHAR NOT NULL,
    item_id VARCHAR, synthetic BOOLEAN NOT NULL, generator VARCHAR NOT NULL, generation INTEGER NOT NULL,
    properties JSON NOT NULL, topic_partition INTEGER NOT NULL, topic_offset BIGINT NOT NULL);
COMMENT ON TABLE events IS 'What users did: one row per product event, each (run_id, event_id) once';
COMMENT ON COLUMN events.event_id IS '<session_id>.<sequence>, the same whenever a run is repeated';
COMMENT ON COLUMN events.run_id IS 'The run that made it, see runs';
COMMENT ON COLUMN events.sequence IS 'Place within the session, from 0';
COMMENT ON COLUMN events.time IS 'Virtual time at which it happened';
COMMENT ON COLUMN events.item_id IS 'The item it is about, where there is exactly one; see items';
COMMENT ON COLUMN events.synthetic IS 'Whether it was made up: true for everything that Dayone makes';
COMMENT ON COLUMN events.generator IS 'What made it: prior, student, tutor or twin';
COMMENT ON COLUMN events.generation IS '0 is real; n+1 was made by a model fitted on generation n or less';
COMMENT ON COLUMN events.properties IS 'The properties of the event as sent; typed in the view <product>.<type>';
COMMENT ON COLUMN events.topic_partition IS 'Kafka partition it was read from';
COMMENT ON COLUMN events.topic_offset IS 'Kafka offset it was read from';

CREATE TABLE sessions (
    session_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, product VARCHAR NOT NULL, user_id VARCHAR NOT NULL,
    time TIMESTAMPTZ NOT NULL, number INTEGER NOT NULL, started TIMESTAMPTZ NOT NULL, ended TIMESTAMPTZ NOT NULL,
    events INTEGER NOT NULL, items INTEGER NOT NULL, device VARCHAR NOT NULL, converted BOOLEAN NOT NULL,
    value DOUBLE NOT NULL, synthetic BOOLEAN NOT NULL, generator VARCHAR NOT NULL, generation INTEGER NOT NULL);
COMMENT ON TABLE sessions IS 'One row per finished session, as the product''s own analytics would see it';
COMMENT ON COLUMN sessions.number IS 'How many sessions the user had before';
COMMENT ON COLUMN sessions.events IS 'Events in the session';
COMMENT ON COLUMN sessions.items IS 'Different items that were looked at';
COMMENT ON COLUMN sessions.converted IS 'Whether the product''s conversion event happened';
COMMENT ON COLUMN sessions.value IS 'Money that changed hands, in the product''s currency';

CREATE TABLE users (
    user_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, product VARCHAR NOT NULL, time TIMESTAMPTZ NOT NULL,
    signed_up TIMESTAMPTZ NOT NULL, device VARCHAR NOT NULL, synthetic BOOLEAN NOT NULL,
    generator VARCHAR NOT NULL, generation INTEGER NOT NULL);
COMMENT ON TABLE users IS 'Who signed up, latest state; a user is (run_id, user_id)';

CREATE TABLE items (
    product VARCHAR NOT NULL, item_id VARCHAR NOT NULL, title VARCHAR NOT NULL, category VARCHAR NOT NULL,
    price DOUBLE NOT NULL, quality DOUBLE NOT NULL, launch_day INTEGER NOT NULL, text VARCHAR NOT NULL,
    pack_fingerprint VARCHAR NOT NULL);
COMMENT ON TABLE items IS 'The catalogue of the pack that the sink was last started on';
COMMENT ON COLUMN items.quality IS 'From 0 to 1';
COMMENT ON COLUMN items.launch_day IS 'Virtual day from which the item exists, 0 from the start';
COMMENT ON COLUMN items.pack_fingerprint IS 'SHA-256 of the pack that it comes from';

CREATE TABLE funnel_steps (product VARCHAR NOT NULL, step INTEGER NOT NULL, type VARCHAR NOT NULL);
COMMENT ON TABLE funnel_steps IS 'The event types of each product''s funnel, in order, from its pack';

CREATE TABLE slate_positions (
    product VARCHAR NOT NULL, slate VARCHAR NOT NULL, position INTEGER NOT NULL, examination DOUBLE NOT NULL);
COMMENT ON TABLE slate_positions IS 'The true position bias of each slate, from the pack';
COMMENT ON COLUMN slate_positions.position IS 'From 1';
COMMENT ON COLUMN slate_positions.examination IS 'Probability that a user looks at this position';

CREATE TABLE labels (
    label_id VARCHAR NOT NULL, kind VARCHAR NOT NULL, run_id VARCHAR NOT NULL, product VARCHAR NOT NULL,
    user_id VARCHAR NOT NULL, session_id VARCHAR, time TIMESTAMPTZ NOT NULL, persona VARCHAR NOT NULL,
    intent VARCHAR, intent_reached BOOLEAN, satisfaction DOUBLE, churned BOOLEAN, weight DOUBLE,
    history_weight DOUBLE, problems JSON, slates JSON, traits JSON, tastes JSON, sessions_per_week DOUBLE,
    synthetic BOOLEAN NOT NULL, generator VARCHAR NOT NULL, generation INTEGER NOT NULL);
COMMENT ON TABLE labels IS 'Ground truth, one row per user and per session: never a feature of a model';
COMMENT ON COLUMN labels.kind IS 'user or session; columns of the other kind are null';
COMMENT ON COLUMN labels.intent_reached IS 'Whether the goal event of the intent occurred';
COMMENT ON COLUMN labels.satisfaction IS 'From 0 to 1, after the session';
COMMENT ON COLUMN labels.churned IS 'Whether the user has left for good';
COMMENT ON COLUMN labels.weight IS 'Importance weight of the session; 1 where problems are not over-sampled';
COMMENT ON COLUMN labels.history_weight IS 'Product of the user''s session weights up to and with this one';
COMMENT ON COLUMN labels.problems IS '[{sequence, problem}]: the problems planted, and at which event';
COMMENT ON COLUMN labels.slates IS '[{sequence, slate, propensities}]: the true probability of each shown item';
COMMENT ON COLUMN labels.traits IS '{trait: 0 to 1}';
COMMENT ON COLUMN labels.tastes IS '{category: share}, summing to 1';

CREATE TABLE runs (
    run_id VARCHAR NOT NULL, shard INTEGER NOT NULL, shards INTEGER NOT NULL, product VARCHAR NOT NULL,
    state VARCHAR NOT NULL, users BIGINT NOT NULL, days DOUBLE NOT NULL, seed BIGINT NOT NULL,
    start TIMESTAMPTZ NOT NULL, virtual_time TIMESTAMPTZ NOT NULL, updated TIMESTAMPTZ NOT NULL,
    pack_fingerprint VARCHAR NOT NULL, generator VARCHAR NOT NULL, generation INTEGER NOT NULL,
    manifest JSON NOT NULL, cluster_id VARCHAR NOT NULL);
COMMENT ON TABLE runs IS 'Run manifests, the latest state of each shard of each run';
COMMENT ON COLUMN runs.state IS 'started, completed, stopped or failed';
COMMENT ON COLUMN runs.cluster_id IS 'The Kafka cluster that it was read from';

CREATE TABLE offsets (
    cluster_id VARCHAR NOT NULL, topic VARCHAR NOT NULL, partition INTEGER NOT NULL, next_offset BIGINT NOT NULL);
COMMENT ON TABLE offsets IS 'Where to read on: written in the same transaction as the rows before it';

CREATE TABLE dead_letters (
    cluster_id VARCHAR NOT NULL, topic VARCHAR NOT NULL, topic_partition INTEGER NOT NULL,
    topic_offset BIGINT NOT NULL, reason VARCHAR NOT NULL, detail VARCHAR NOT NULL, key BLOB, value BLOB,
    value_bytes BIGINT, received TIMESTAMPTZ NOT NULL);
COMMENT ON TABLE dead_letters IS 'Messages that could not be decoded, also on the topic <topic>.dlq';
COMMENT ON COLUMN dead_letters.reason IS
    'not_json, not_utf8, too_large, wrong_envelope, unknown_event_type, wrong_property or wrong_product';
COMMENT ON COLUMN dead_letters.value IS 'The first 64 KiB of the message';
COMMENT ON COLUMN dead_letters.value_bytes IS 'The true length of the message';

CREATE TABLE ingests (
    ingest_id VARCHAR NOT NULL, cluster_id VARCHAR NOT NULL, started TIMESTAMPTZ NOT NULL,
    updated TIMESTAMPTZ NOT NULL, messages BIGINT NOT NULL, events BIGINT NOT NULL);
COMMENT ON TABLE ingests IS 'One row per sink process: when it read its first message, its last commit, and how much';
"""

_VIEWS = """
CREATE VIEW sessions_per_day AS
    SELECT product, run_id, CAST(started AT TIME ZONE 'UTC' AS DATE) AS day, count(*) AS sessions,
           count(DISTINCT user_id) AS users, avg(events) AS events_per_session,
           avg(CAST(converted AS INTEGER)) AS conversion, sum(value) AS value
    FROM sessions GROUP BY ALL;
COMMENT ON VIEW sessions_per_day IS 'Sessions, users, conversion and value by UTC day of the start';

CREATE VIEW events_per_day AS
    SELECT product, run_id, CAST(time AT TIME ZONE 'UTC' AS DATE) AS day, type, count(*) AS events,
           count(DISTINCT session_id) AS sessions
    FROM events GROUP BY ALL;
COMMENT ON VIEW events_per_day IS 'Events of each type, and in how many sessions, by UTC day';

CREATE VIEW funnel_per_day AS
    SELECT product, run_id, day, step, type, sessions, events
    FROM events_per_day JOIN funnel_steps USING (product, type);
COMMENT ON VIEW funnel_per_day IS 'Sessions that reached each step of the funnel, by UTC day';

CREATE VIEW problems AS
    SELECT label.product, label.run_id, label.user_id, label.session_id, label.persona, label.intent,
           CAST(problem.value ->> '$.problem' AS VARCHAR) AS problem,
           CAST(problem.value ->> '$.sequence' AS INTEGER) AS sequence, label.satisfaction, label.churned,
           label.weight
    FROM labels AS label, json_each(label.problems) AS problem WHERE label.kind = 'session';
COMMENT ON VIEW problems IS 'One row per planted problem, with the event of the session at which it struck';

CREATE VIEW item_popularity AS
    SELECT event.product, event.run_id, event.item_id, any_value(item.title) AS title,
           any_value(item.category) AS category, count(*) AS events,
           count(DISTINCT event.session_id) AS sessions, count(DISTINCT event.user_id) AS users
    FROM events AS event LEFT JOIN items AS item USING (product, item_id)
    WHERE event.item_id IS NOT NULL GROUP BY ALL;
COMMENT ON VIEW item_popularity IS 'Events, sessions and users by item';
"""

_REPLAYS = """
ALTER TABLE dead_letters ADD COLUMN headers JSON;
COMMENT ON COLUMN dead_letters.headers IS 'Headers of the message, [[name, value in base64]]; null where it had none';

CREATE TABLE dead_letter_replays (
    cluster_id VARCHAR NOT NULL, topic VARCHAR NOT NULL, topic_partition INTEGER NOT NULL,
    topic_offset BIGINT NOT NULL, replayed TIMESTAMPTZ NOT NULL);
COMMENT ON TABLE dead_letter_replays IS 'Which dead letters were sent to their topics again, and when';
"""

#: Labels are kept as they come: one with odd problems must not spoil the view of all the others.
_PROBLEMS = """
CREATE OR REPLACE VIEW problems AS
    SELECT label.product, label.run_id, label.user_id, label.session_id, label.persona, label.intent,
           CAST(problem.value ->> '$.problem' AS VARCHAR) AS problem,
           TRY_CAST(problem.value ->> '$.sequence' AS INTEGER) AS sequence, label.satisfaction, label.churned,
           label.weight
    FROM labels AS label, json_each(label.problems) AS problem WHERE label.kind = 'session';
COMMENT ON VIEW problems IS 'One row per planted problem, with the event of the session at which it struck';
"""

#: What a pack declares of its events and intents, so that a question about any product can be asked in SQL.
_DECLARATIONS = """
CREATE TABLE event_types (
    product VARCHAR NOT NULL, type VARCHAR NOT NULL, item VARCHAR, slate VARCHAR, conversion BOOLEAN NOT NULL);
COMMENT ON TABLE event_types IS 'What each event type is, from the pack of its product';
COMMENT ON COLUMN event_types.item IS
    'The item it is about: one chosen from the slate, the one in focus, or one of the bag; null: none';
COMMENT ON COLUMN event_types.slate IS 'The slate that it shows, see slate_positions; null: none';
COMMENT ON COLUMN event_types.conversion IS 'Whether it is what the product lives on';

CREATE TABLE event_properties (
    product VARCHAR NOT NULL, type VARCHAR NOT NULL, property VARCHAR NOT NULL, kind VARCHAR NOT NULL,
    source VARCHAR);
COMMENT ON TABLE event_properties IS 'The properties of each event type, from the pack of its product';
COMMENT ON COLUMN event_properties.kind IS 'string, number, integer, boolean or strings (a list)';
COMMENT ON COLUMN event_properties.source IS
    'What it says: slate.items, bag.items, item.price, load_seconds and so on; null: drawn or constant';

CREATE TABLE intents (product VARCHAR NOT NULL, intent VARCHAR NOT NULL, goal VARCHAR);
COMMENT ON TABLE intents IS 'What users of each product come for, from its pack; see labels.intent';
COMMENT ON COLUMN intents.goal IS 'The event type that fulfils it; null: just looking around';
"""

# A lake's ledger: only added to by commits, changed by claims alone (see ledger.py for why).
_LEDGER = """
DROP TABLE offsets;
DROP TABLE ingests;

CREATE TABLE claims (
    cluster_id VARCHAR NOT NULL, topic VARCHAR NOT NULL, partition INTEGER NOT NULL, claim BIGINT NOT NULL);
COMMENT ON TABLE claims IS 'Which claim of each partition is the latest: its sink alone may write the partition';
INSERT INTO claims VALUES ('', '', 0, 0);

CREATE TABLE commits (
    cluster_id VARCHAR NOT NULL, claim BIGINT NOT NULL, number BIGINT NOT NULL, ingest_id VARCHAR NOT NULL,
    started TIMESTAMPTZ NOT NULL, committed TIMESTAMPTZ NOT NULL, messages BIGINT NOT NULL, events BIGINT NOT NULL,
    positions JSON NOT NULL);
COMMENT ON TABLE commits IS 'One row per transaction of a sink, folded now and then; see offsets and ingests';
COMMENT ON COLUMN commits.claim IS 'The claim under which it was made, see claims';
COMMENT ON COLUMN commits.number IS 'Its place among the commits of the same process';
COMMENT ON COLUMN commits.positions IS '{topic/partition: next offset}';
INSERT INTO commits VALUES ('', 0, 0, '', '1970-01-01T00:00:00Z', '1970-01-01T00:00:00Z', 0, 0, '{}');

CREATE VIEW offsets AS
    SELECT cluster_id, split_part(position.key, '/', 1) AS topic,
           CAST(split_part(position.key, '/', 2) AS INTEGER) AS partition,
           arg_max(CAST(position.value AS BIGINT), claim * 1099511627776 + number) AS next_offset
    FROM commits, json_each(commits.positions) AS position GROUP BY ALL;
COMMENT ON VIEW offsets IS 'Where to read on: written in the same transaction as the rows before it';

CREATE VIEW ingests AS
    SELECT ingest_id, cluster_id, min(started) AS started, max(committed) AS updated,
           CAST(sum(messages) AS BIGINT) AS messages, CAST(sum(events) AS BIGINT) AS events
    FROM commits WHERE cluster_id <> '' GROUP BY ALL;
COMMENT ON VIEW ingests IS
    'One row per sink process: when it read its first message, its last commit, and how much';
"""

#: Appended to by all that writes; audit_log.py says how the hashes are made.
_AUDIT_LOG = """
CREATE TABLE audit_log (
    sequence BIGINT NOT NULL, time TIMESTAMPTZ NOT NULL, action VARCHAR NOT NULL, subject VARCHAR NOT NULL,
    program VARCHAR NOT NULL, who VARCHAR NOT NULL, details VARCHAR NOT NULL, previous VARCHAR NOT NULL,
    hash VARCHAR NOT NULL);
COMMENT ON TABLE audit_log IS 'What happened, in order; each entry holds the hash of the one before it';
COMMENT ON COLUMN audit_log.action IS 'run, build, export, gate, quarantine or release';
COMMENT ON COLUMN audit_log.subject IS 'What it is about: <run id>/<shard>, or <task>/<version>';
COMMENT ON COLUMN audit_log.program IS 'The version of Dayone that wrote it';
COMMENT ON COLUMN audit_log.who IS 'The login name on whose behalf it ran';
COMMENT ON COLUMN audit_log.details IS 'JSON, in canonical form';
COMMENT ON COLUMN audit_log.previous IS 'The hash of the entry before it; 64 zeros for the first';
COMMENT ON COLUMN audit_log.hash IS 'SHA-256 of all the others';

CREATE TABLE audit_head (sequence BIGINT NOT NULL, hash VARCHAR NOT NULL);
COMMENT ON TABLE audit_head IS 'One row: the number and hash of the last entry of audit_log';
INSERT INTO audit_head VALUES (0, '0000000000000000000000000000000000000000000000000000000000000000');
"""

#: What gates found of runs, and what people said to it; read by every build.
_QUARANTINE = """
CREATE TABLE quarantine (
    run_id VARCHAR NOT NULL, product VARCHAR NOT NULL, quarantined TIMESTAMPTZ NOT NULL, reason VARCHAR NOT NULL,
    figures JSON NOT NULL, released TIMESTAMPTZ, release_reason VARCHAR);
COMMENT ON TABLE quarantine IS 'Runs that a gate put aside: they go into no training set until they are released';
COMMENT ON COLUMN quarantine.reason IS 'What was found, in words';
COMMENT ON COLUMN quarantine.figures IS 'The verdict of the gate: figure, threshold, and where';
COMMENT ON COLUMN quarantine.released IS 'When somebody let it in again; null: it is put aside';
COMMENT ON COLUMN quarantine.release_reason IS 'Why';
"""

#: What a pack's personas would do, so that a run can be held against it.
_EXPECTATIONS = """
CREATE TABLE expectations (
    product VARCHAR NOT NULL, pack_fingerprint VARCHAR NOT NULL, measure VARCHAR NOT NULL, place INTEGER NOT NULL,
    value DOUBLE NOT NULL);
COMMENT ON TABLE expectations IS 'What the personas of a pack declare, of the population as a whole';
COMMENT ON COLUMN expectations.measure IS
    'hour_of_week: share of the sessions by hour, 0 is Monday 00:00 UTC; sessions_per_week: of an active user';
"""

#: How agents' sessions ended. Some ended because an agent failed: what happened there is nobody's behaviour.
_OUTCOMES = """
ALTER TABLE labels ADD COLUMN outcome VARCHAR;
COMMENT ON COLUMN labels.outcome IS
    'How an agent''s session ended: left, patience, step_bound, problem, agent_error or stepped_down; else null';
"""

#: What users and support write, and what support may answer from.
_SUPPORT = """
CREATE TABLE conversations (
    conversation_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, product VARCHAR NOT NULL, user_id VARCHAR NOT NULL,
    session_id VARCHAR NOT NULL, sequence INTEGER NOT NULL, time TIMESTAMPTZ NOT NULL, ended TIMESTAMPTZ NOT NULL,
    reason VARCHAR NOT NULL, language VARCHAR NOT NULL, outcome VARCHAR NOT NULL, parameters JSON NOT NULL,
    turns JSON NOT NULL, audit JSON NOT NULL, passed BOOLEAN NOT NULL, rejected JSON NOT NULL,
    synthetic BOOLEAN NOT NULL, generator VARCHAR NOT NULL, generation INTEGER NOT NULL);
COMMENT ON TABLE conversations IS 'What users wrote to support and what was answered, one row per conversation';
COMMENT ON COLUMN conversations.sequence IS 'The event of the session after which the user wrote';
COMMENT ON COLUMN conversations.time IS 'When the first message was sent';
COMMENT ON COLUMN conversations.ended IS 'When the last one was';
COMMENT ON COLUMN conversations.reason IS 'The problem or event because of which the user wrote';
COMMENT ON COLUMN conversations.language IS 'ISO 639-1';
COMMENT ON COLUMN conversations.outcome IS 'solved, handed_over (to a person) or given_up (by the user)';
COMMENT ON COLUMN conversations.parameters IS 'How the user writes: mood, typing, detail, patience, formality';
COMMENT ON COLUMN conversations.turns IS '[{role, text, seconds, shown, cited}]; see the view messages';
COMMENT ON COLUMN conversations.audit IS '{auditor, grounded, solved, polite}, the last three {passed, reason}';
COMMENT ON COLUMN conversations.passed IS 'Whether all three were passed';
COMMENT ON COLUMN conversations.rejected IS '[{turn, text, flaw}]: answers that would have been worse';

CREATE TABLE help_texts (
    product VARCHAR NOT NULL, help_id VARCHAR NOT NULL, title VARCHAR NOT NULL, about VARCHAR[] NOT NULL,
    text VARCHAR NOT NULL, hands_over BOOLEAN NOT NULL, pack_fingerprint VARCHAR NOT NULL);
COMMENT ON TABLE help_texts IS 'What support may answer from, from the pack that the sink was last started on';
COMMENT ON COLUMN help_texts.about IS 'The problems and events that it helps with';
COMMENT ON COLUMN help_texts.hands_over IS 'Whether it is the one that tells how a person takes over';

CREATE VIEW messages AS
    SELECT product, run_id, conversation_id, user_id, session_id, CAST(turn.key AS INTEGER) AS turn,
           turn.value ->> '$.role' AS role,
           time + to_milliseconds(CAST(1000 * CAST(turn.value ->> '$.seconds' AS DOUBLE) AS BIGINT)) AS time,
           turn.value ->> '$.text' AS text, CAST(turn.value -> '$.cited' AS VARCHAR[]) AS cited, reason, language,
           synthetic, generator, generation
    FROM conversations, json_each(turns) AS turn;
COMMENT ON VIEW messages IS 'One row per message of a conversation with support, numbered from 0';

CREATE VIEW rejected_answers AS
    SELECT product, run_id, conversation_id, CAST(worse.value ->> '$.turn' AS INTEGER) AS turn,
           worse.value ->> '$.flaw' AS flaw, worse.value ->> '$.text' AS text, generator
    FROM conversations, json_each(rejected) AS worse;
COMMENT ON VIEW rejected_answers IS 'Answers with a planted flaw, each beside the message of the same turn';
"""

#: Every step by name, in the order of application, and which kinds of store take it.
_STEPS = (
    ("tables", _TABLES, "every"),
    ("analyst_views", _VIEWS, "every"),
    ("dead_letter_replays", _REPLAYS, "every"),
    ("problems_bear_odd_labels", _PROBLEMS, "every"),
    ("ledger", _LEDGER, "lake"),
    ("declarations", _DECLARATIONS, "every"),
    ("audit_log", _AUDIT_LOG, "every"),
    ("quarantine", _QUARANTINE, "every"),
    ("expectations", _EXPECTATIONS, "every"),
    ("outcomes", _OUTCOMES, "every"),
    ("support", _SUPPORT, "every"),
)
#: The steps of a DuckDB file, and those of a lake.
MIGRATIONS: tuple[tuple[str, str], ...] = tuple((name, script) for name, script, kind in _STEPS if kind == "every")
LAKE_MIGRATIONS: tuple[tuple[str, str], ...] = tuple((name, script) for name, script, _ in _STEPS)
