-- The engine's own rows in batches, by nobody who decides: the same tables and indexes, the same bytes, one statement
-- for each table. A column travels as one text, its values joined by U+001F.
--
-- The first statement locks and reads the users, as the engine does, and makes the batch's columns, which the engine
-- makes in Python: each document gets a new front, as long as what the engine changes, each journal row text of its
-- own. Every fifth row is that of a second user, as it is where a quarter of the events concern one.
\set seed random(1, 9000000000000000)
BEGIN;
SELECT
    string_agg(user_id, U&'\001F') AS users,
    string_agg((version + 1)::text, U&'\001F') AS versions,
    string_agg(overlay(state PLACING front FROM 1), U&'\001F') AS states,
    string_agg(CASE WHEN number % 5 = 0 THEN 'user-9999999' ELSE user_id END, U&'\001F') AS actors,
    string_agg('event-' || :seed::bigint || '-' || number, U&'\001F') AS requests,
    string_agg('comment.created', U&'\001F') AS types,
    string_agg((1772824527360000 + number)::text, U&'\001F') AS times,
    string_agg(left(front, 32), U&'\001F') AS fingerprints,
    string_agg(CASE WHEN number % 5 <> 0 THEN rpad(front, :data_bytes, 'd') ELSE '' END, U&'\001F') AS datas,
    string_agg(rpad(front, :changes_bytes, 'c'), U&'\001F') AS changes
FROM (
    SELECT user_id, version, state, row_number() OVER () AS number,
        rpad('', :front_bytes, md5(version::text || :seed::bigint)) AS front
    FROM (
        SELECT user_id, version, state FROM laurels.users
        WHERE user_id = ANY (ARRAY(
            SELECT 'user-' || lpad(mod(hashint8extended(n, :seed::bigint) & 4503599627370495, :users)::text, 7, '0')
            FROM generate_series(1, :batch) AS n
        ))
        ORDER BY user_id FOR NO KEY UPDATE SKIP LOCKED
    ) AS locked
) AS batch
\gset own_
UPDATE laurels.users AS u SET version = n.version, state = n.state
FROM unnest(
    string_to_array(:own_users, U&'\001F'), string_to_array(:own_versions, U&'\001F')::bigint[],
    string_to_array(:own_states, U&'\001F')
) AS n (user_id, version, state)
WHERE u.user_id = n.user_id;
INSERT INTO laurels.journal (user_id, version, actor_id, request_id, type, time, recorded_at, revision, fingerprint,
    day, data, changes)
SELECT user_id, version, actor_id, request_id, type, time, 1772824527360000, 1, decode(fingerprint, 'hex'), 20518,
    nullif(data, ''), changes
FROM unnest(
    string_to_array(:own_users, U&'\001F'), string_to_array(:own_versions, U&'\001F')::bigint[],
    string_to_array(:own_actors, U&'\001F'), string_to_array(:own_requests, U&'\001F'),
    string_to_array(:own_types, U&'\001F'), string_to_array(:own_times, U&'\001F')::bigint[],
    string_to_array(:own_fingerprints, U&'\001F'), string_to_array(:own_datas, U&'\001F'),
    string_to_array(:own_changes, U&'\001F')
) AS n (user_id, version, actor_id, request_id, type, time, fingerprint, data, changes);
COMMIT;
