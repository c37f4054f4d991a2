-- One award in one transaction of seven statements, as most services write it.
\set number 10000000 + random(0, :users - 1)
\set key random(1, 9000000000000000000)
\set amount random(1, 50)
BEGIN;
INSERT INTO idempotency_keys (key, user_id) VALUES ('award-' || :key::bigint, 'user-' || :number::int);
INSERT INTO balances AS b (user_id, unit, amount) VALUES ('user-' || :number::int, 'xp', :amount)
    ON CONFLICT (user_id, unit) DO UPDATE SET amount = b.amount + excluded.amount, updated_at = now()
    RETURNING amount AS xp
\gset
INSERT INTO balances AS b (user_id, unit, amount) VALUES ('user-' || :number::int, 'coin', 1)
    ON CONFLICT (user_id, unit) DO UPDATE SET amount = b.amount + excluded.amount, updated_at = now()
    RETURNING amount AS coin
\gset
INSERT INTO ledger (user_id, unit, amount, balance_after, reason, request_key)
    VALUES ('user-' || :number::int, 'xp', :amount, :xp, 'post.created', 'award-' || :key::bigint);
INSERT INTO ledger (user_id, unit, amount, balance_after, reason, request_key)
    VALUES ('user-' || :number::int, 'coin', 1, :coin, 'post.created', 'award-' || :key::bigint);
COMMIT;
