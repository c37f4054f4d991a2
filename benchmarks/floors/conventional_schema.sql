-- What a service without an engine keeps for points: balances, a ledger, and the keys of requests it has answered.
-- Leaner than most, which makes the floor faster: no foreign keys, no triggers, no stored answers.
-- Ids of users and requests are text of the same shape as those the engine gets.

CREATE TABLE idempotency_keys (
    key text PRIMARY KEY,
    user_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE balances (
    user_id text,
    unit text,
    amount bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, unit)
) WITH (fillfactor = 70);

CREATE TABLE ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text NOT NULL,
    unit text NOT NULL,
    amount bigint NOT NULL,
    balance_after bigint NOT NULL,
    reason text NOT NULL,
    request_key text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON ledger (user_id, created_at);
