-- Who may do what.

-- Entries of the ledger that are listed by themselves: `audit`.
ALTER TABLE events ADD COLUMN topic {{text}};
CREATE INDEX events_topic ON events (topic, seq) WHERE topic IS NOT NULL;

--   name_key      the name in lower case: two users never differ only by case
--   acting_admin  1 for an active administrator, of whom there must always be one
CREATE TABLE users (
    id           {{text}} PRIMARY KEY,
    name_key     {{text}} NOT NULL,
    acting_admin BIGINT NOT NULL,
    body         {{text}} NOT NULL
);
CREATE UNIQUE INDEX users_name ON users (name_key);

CREATE TABLE clients (
    id   {{text}} PRIMARY KEY,
    body {{text}} NOT NULL
);

CREATE TABLE signing_keys (
    id         {{text}} PRIMARY KEY,
    created_at BIGINT NOT NULL,
    body       {{text}} NOT NULL
);

-- Tokens that were given back before their time.
CREATE TABLE revoked_tokens (
    id       {{text}} PRIMARY KEY,
    until_at BIGINT NOT NULL
);
CREATE INDEX revoked_tokens_until ON revoked_tokens (until_at);
