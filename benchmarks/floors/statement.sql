-- The same award in one statement, so in one round trip.
\set number 10000000 + random(0, :users - 1)
\set key random(1, 9000000000000000000)
\set amount random(1, 50)
WITH request AS (
    INSERT INTO idempotency_keys (key, user_id) VALUES ('award-' || :key::bigint, 'user-' || :number::int)
    RETURNING key, user_id
), balance AS (
    INSERT INTO balances AS b (user_id, unit, amount)
    VALUES ('user-' || :number::int, 'xp', :amount), ('user-' || :number::int, 'coin', 1)
    ON CONFLICT (user_id, unit) DO UPDATE SET amount = b.amount + excluded.amount, updated_at = now()
    RETURNING unit, amount
)
INSERT INTO ledger (user_id, unit, amount, balance_after, reason, request_key)
SELECT user_id, unit, CASE unit WHEN 'xp' THEN :amount ELSE 1 END, amount, 'post.created', key FROM balance, request;
